//! Runs with words of textual inversion: what they draw, what they keep, and that they go on wherever the file is.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::path::Path;

use ddpo::config::{Layers, RunPlan};
use ddpo::embedding::EmbeddingSource;
use ddpo::{LoadedModel, RunDirectory};
use runs::{product, train};
use safetensors::tensor::{Dtype, TensorView};

/// A file whose word is `toy`: two vectors for the tiny model's text encoder of width 16.
fn embedding(path: &Path, value: f32) {
    let data: Vec<u8> = (0..32).flat_map(|place| (value * (place as f32).sin()).to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![2, 16], &data).unwrap();
    std::fs::write(path, safetensors::serialize([("toy", view)], None).unwrap()).unwrap();
}

fn plan(model: &Path, embeddings: &[&Path], changes: &[&str]) -> RunPlan {
    let mut layers = Layers::default();
    let text = "[sample]\nsteps = 3\nbatch-size = 4\nbatches-per-epoch = 1\n[run]\nepochs = 2\n[eval]\nevery = 1\ncount = 2\n\
                [train]\nbatch-size = 2\naccumulation = 1\nlearning-rate = 1e-2\n[checkpoint]\nevery = 1\n\
                [prompts]\nkind = \"list\"\nvalues = [\"toy cat\", \"toy dog\"]\n";
    layers.push_toml("test", text).unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    let embeddings: Vec<String> = embeddings.iter().map(|path| path.to_str().unwrap().to_owned()).collect();
    layers.push_value("test", "model.embeddings", embeddings).unwrap();
    changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

#[test]
fn a_run_with_an_embedding_resumes_to_the_same_bytes_wherever_the_file_is() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let [whole, parts, plain] = ["whole", "parts", "plain"].map(|name| parent.path().join(name));
    let [here, moved, other] = ["a.safetensors", "b.safetensors", "c.safetensors"].map(|name| parent.path().join(name));
    embedding(&here, 3.0);
    embedding(&other, 4.0);
    std::fs::copy(&here, &moved).unwrap();
    train(&plan(&model, &[&here], &[]), &whole, false).unwrap();
    train(&plan(&model, &[], &[]), &plain, false).unwrap();
    let drawn = |run: &Path| std::fs::read(run.join("samples/epoch_0000.png")).unwrap();
    assert!(drawn(&whole) != drawn(&plain), "the word changes nothing");
    train(&plan(&model, &[&here], &["run.epochs=1"]), &parts, false).unwrap();
    for embeddings in [vec![&*other], vec![]] {
        let error = train(&plan(&model, &embeddings, &[]), &parts, true).unwrap_err().to_string();
        assert!(error.contains("embeddings"), "{error}");
    }
    train(&plan(&model, &[&moved], &[]), &parts, true).unwrap();
    assert!(product(&whole) == product(&parts));
}

#[test]
fn a_whole_model_is_handed_back_without_the_words() {
    let parent = tempfile::tempdir().unwrap();
    let (model, run, file) =
        (common::tiny_model(parent.path()), parent.path().join("run"), parent.path().join("a.safetensors"));
    embedding(&file, 3.0);
    let plan = plan(&model, &[&file], &["train.parameters=full", "run.epochs=1"]);
    train(&plan, &run, false).unwrap();
    let words = |at: &Path| std::fs::read(at.join("text_encoder/model.safetensors")).unwrap();
    assert!(words(&run.join(RunDirectory::MODEL)) == words(&model));
    // What was trained with the word knows it again.
    let loaded = LoadedModel::open(&plan.model, plan.device).unwrap();
    let source = [EmbeddingSource { path: file, token: Some("new".into()) }];
    let adapter = ddpo::adapter::AdapterSource { path: run, strength: 1.0 };
    let tuned = loaded.with_embeddings(&source).unwrap().adapted(&[adapter]).unwrap();
    let states = |text: &str| {
        let ids = tuned.pipeline().tokenizer.encode(text).unwrap();
        ids.into_iter().max().unwrap()
    };
    assert!(states("a new") > states("a toy"));
    tuned.encode(&["a new".to_owned()]).unwrap();
}
