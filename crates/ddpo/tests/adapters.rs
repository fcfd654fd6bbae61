//! Runs over frozen adapters: what they start from, what they hand back, and that they resume to the byte.

mod common;
#[path = "common/runs.rs"]
mod runs;

use std::path::{Path, PathBuf};

use ddpo::adapter::AdapterSource;
use ddpo::config::{Layers, RunPlan, SamplerPlan};
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, Product, RunDirectory, SampleRequest};
use runs::{product, train};

/// A plan of seconds over these frozen adapters.
fn plan(model: &Path, frozen: &[String], changes: &[&str]) -> RunPlan {
    let mut layers = Layers::default();
    let text = "[sample]\nsteps = 3\nbatch-size = 4\nbatches-per-epoch = 1\n[run]\nepochs = 2\n[eval]\nevery = 1\ncount = 2\n\
                [train]\nbatch-size = 2\naccumulation = 1\nlearning-rate = 1e-2\n[checkpoint]\nevery = 1\n";
    layers.push_toml("test", text).unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    layers.push_value("test", "lora.frozen", frozen.to_vec()).unwrap();
    changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

/// A model, and a run whose product has learnt something.
fn first_run(parent: &Path) -> (PathBuf, PathBuf) {
    let (model, run) = (common::tiny_model(parent), parent.join("first"));
    train(&plan(&model, &[], &[]), &run, false).unwrap();
    (model, run)
}

fn source(text: &str) -> AdapterSource {
    AdapterSource::parse("--lora", text).unwrap()
}

/// Values of a picture that the tiny model draws with adapters on it.
fn drawn(model: &Path, adapters: &[AdapterSource]) -> Vec<f32> {
    let plan = plan(model, &[], &[]);
    let loaded = LoadedModel::open(&plan.model, ddpo::device::DeviceName::Cpu).unwrap();
    let request = SampleRequest {
        prompts: vec!["a cat".into()],
        count: 1,
        sampler: SamplerPlan { steps: 3, ..plan.config.sample.sampler() },
        guidance: 2.0,
        negative_prompt: String::new(),
        seed: 1,
        batch_size: 1,
        size: [None; 2],
    };
    let denoiser = loaded.denoiser(adapters).unwrap();
    let sampled = ddpo::sample(&loaded, &*denoiser, &request, &StopFlag::new(), &mut |_, _| {}).unwrap();
    sampled.values.into_data().try_into_vec::<f32>().unwrap()
}

#[test]
fn nothing_of_a_frozen_adapter_is_nothing_to_the_bit() {
    let parent = tempfile::tempdir().unwrap();
    let (model, first) = first_run(parent.path());
    let path = parent.path().join("again");
    train(&plan(&model, &[format!("{}:0", first.display())], &[]), &path, false).unwrap();
    assert!(product(&path) == product(&first));
    assert_eq!(drawn(&model, &[source(&format!("{}:0", first.display()))]), drawn(&model, &[]));
}

#[test]
fn a_run_over_a_frozen_adapter_starts_from_it_and_hands_back_its_own_alone() {
    let parent = tempfile::tempdir().unwrap();
    let (model, first) = first_run(parent.path());
    let below = source(&format!("{}:0.5", first.display()));
    let path = parent.path().join("over");
    train(&plan(&model, &[below.to_string()], &[]), &path, false).unwrap();
    let file = AdapterSource { path: path.join(RunDirectory::LORA), strength: 1.0 };
    // A run stands for what it was trained over and for its own product, a file for itself.
    let run = drawn(&model, &[source(path.to_str().unwrap())]);
    assert_eq!(run, drawn(&model, &[below.clone(), file.clone()]));
    assert_ne!(run, drawn(&model, std::slice::from_ref(&file)));
    // Two runs over the same frozen adapter bring it once.
    let both = [source(path.to_str().unwrap()), source(&format!("{}:0", path.display()))];
    assert_eq!(run, drawn(&model, &both));
    // Its evaluation before training is that of the frozen adapter, and its divergence is measured from there.
    let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let kl = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["kl_to_base"].as_f64();
    assert_eq!(metrics.lines().find_map(kl), Some(0.0));
}

#[test]
fn a_run_over_frozen_adapters_resumes_to_the_same_bytes_wherever_the_files_are() {
    let parent = tempfile::tempdir().unwrap();
    let (model, first) = first_run(parent.path());
    let moved = parent.path().join("moved.safetensors");
    std::fs::copy(first.join(RunDirectory::LORA), &moved).unwrap();
    let frozen = |path: &Path, strength: f64| vec![AdapterSource { path: path.to_owned(), strength }.to_string()];
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    let checkpointing = ["train.gradient-checkpointing=true"];
    train(&plan(&model, &frozen(&first, 0.5), &checkpointing), &whole, false).unwrap();
    train(&plan(&model, &frozen(&first, 0.5), &[checkpointing[0], "run.epochs=1"]), &parts, false).unwrap();
    for other in [frozen(&moved, 0.6), vec![]] {
        let error = train(&plan(&model, &other, &checkpointing), &parts, true).unwrap_err().to_string();
        assert!(error.contains("frozen adapters"), "{error}");
    }
    train(&plan(&model, &frozen(&moved, 0.5), &checkpointing), &parts, true).unwrap();
    assert!(product(&whole) == product(&parts));
}

#[test]
fn what_cannot_be_stacked_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (model, first) = first_run(parent.path());
    let full = parent.path().join("full");
    let changes = ["train.parameters=full", "run.epochs=1", "train.learning-rate=1e-4"];
    train(&plan(&model, &[], &changes), &full, false).unwrap();
    assert!(matches!(Product::find(&full).unwrap(), Product::Model(_)));
    let loaded = LoadedModel::open(&plan(&model, &[], &[]).model, ddpo::device::DeviceName::Cpu).unwrap();
    loaded.denoiser(&[source(full.to_str().unwrap()), source(first.to_str().unwrap())]).unwrap();
    for adapters in [[first.to_str().unwrap(), full.to_str().unwrap()], [&format!("{}:0.5", full.display()), ""]] {
        let adapters: Vec<AdapterSource> = adapters.into_iter().filter(|text| !text.is_empty()).map(source).collect();
        let error = loaded.denoiser(&adapters).map(drop).unwrap_err().to_string();
        assert!(error.ends_with("expected a whole model first and at strength 1"), "{error}");
    }
    let error = train(&plan(&model, &[full.display().to_string()], &[]), &parent.path().join("x"), false).unwrap_err();
    assert!(error.to_string().starts_with("invalid `lora.frozen`: found the whole model "), "{error}");
    let mut layers = Layers::default();
    layers.push_assignment("lora.frozen=[\"a.safetensors\"]").unwrap();
    layers.push_assignment("train.parameters=full").unwrap();
    assert_eq!(
        RunPlan::new(layers.resolve().unwrap()).unwrap_err().to_string(),
        "invalid `lora.frozen`: found a.safetensors, expected none where train.parameters is \"full\""
    );
}

#[test]
fn a_folder_stands_for_the_adapter_in_it() {
    let parent = tempfile::tempdir().unwrap();
    let (model, first) = first_run(parent.path());
    let folder = parent.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let error = Product::find(&folder).unwrap_err().to_string();
    assert!(error.contains("pytorch_lora_weights.safetensors"), "{error}");
    std::fs::copy(first.join(RunDirectory::LORA), folder.join("style.safetensors")).unwrap();
    let wanted = drawn(&model, &[source(first.to_str().unwrap())]);
    assert_eq!(drawn(&model, &[source(folder.to_str().unwrap())]), wanted);
    // What is gone on from may be a folder as well.
    let path = parent.path().join("on");
    let from = format!("lora.path={}", folder.display());
    train(&plan(&model, &[], &[&from, "run.epochs=1"]), &path, false).unwrap();
    std::fs::copy(folder.join("style.safetensors"), folder.join("other.safetensors")).unwrap();
    let error = Product::find(&folder).unwrap_err().to_string();
    assert!(error.contains("other.safetensors") && error.contains("style.safetensors"), "{error}");
}

#[test]
fn kohyas_form_has_the_runs_name_and_a_run_that_goes_on_keeps_it() {
    let parent = tempfile::tempdir().unwrap();
    let (model, path) = (common::tiny_model(parent.path()), parent.path().join("style-001"));
    train(&plan(&model, &[], &["lora.format=kohya", "run.epochs=1"]), &path, false).unwrap();
    let named = || std::fs::read(path.join("style-001.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&named()).into_owned();
    for text in ["lora_unet_", "\"ss_v2\":\"False\"", "\"ss_output_name\":\"style-001\"", "ss_base_model_version"] {
        assert!(header.contains(text), "{text}");
    }
    assert!(named() == product(&path));
    let before = named();
    train(&plan(&model, &[], &["lora.format=kohya"]), &path, true).unwrap();
    assert!(named() == product(&path) && named() != before);
}

#[test]
fn a_list_that_repeats_a_prompt_has_one_memory_for_it() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let run = |name: &str, values: &str| {
        let path = parent.path().join(name);
        let values = format!("prompts.values={values}");
        let changes = [
            "prompts.kind=list",
            &values,
            "eval.prompts=[\"dog\"]",
            "advantage.kind=per-prompt",
            "advantage.min-count=8",
        ];
        train(&plan(&model, &[], &changes), &path, false).unwrap();
        product(&path)
    };
    assert!(run("one", "[\"cat\"]") == run("four", "[\"cat\", \"cat\", \"cat\", \"cat\"]"));
}

#[test]
fn prompts_with_weights_are_read_where_that_is_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let loaded = LoadedModel::open(&plan(&model, &[], &[]).model, ddpo::device::DeviceName::Cpu).unwrap();
    let reading = loaded.reading(ddpo::config::PromptSyntax::A1111);
    let values = |loaded: &LoadedModel, prompt: &str| {
        loaded.encode(&[prompt.to_owned()]).unwrap().states.into_data().try_into_vec::<f32>().unwrap()
    };
    assert_eq!(values(&loaded, "a cat"), values(&reading, "a cat"));
    assert_ne!(values(&loaded, "(a cat:1.5)"), values(&reading, "(a cat:1.5)"));
    // The negative prompt has as many pieces as the longest prompt.
    let long = "a cat ".repeat(200);
    let (prompts, negative) = reading.encode_guided(std::slice::from_ref(&long), "").unwrap();
    assert_eq!(prompts.states.dims(), negative.states.dims());
    assert!(prompts.states.dims()[1] > loaded.encode(std::slice::from_ref(&long)).unwrap().states.dims()[1]);
    assert_eq!((loaded.truncations([&long]).unwrap().len(), reading.truncations([&long]).unwrap().len()), (1, 0));
}
