//! Textual-inversion embeddings: the text states that diffusers has with them (`fixtures/make_embeddings.py`), and what is refused.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::{Embedding, Pipeline};
use ddpo_nn::ModelFiles;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn pipeline(kind: &str) -> Pipeline {
    Pipeline::load(&ModelFiles::Directory(fixtures().join(kind)), &Device::default()).unwrap()
}

/// The pipeline with the three files of a kind.
fn with_embeddings(kind: &str) -> Pipeline {
    ["learned", "webui", "row"].iter().fold(pipeline(kind), |pipeline, form| {
        let file = fixtures().join(format!("embeddings/{kind}-{form}.safetensors"));
        // Only the web UI's file says no word of its own; here it is called by the kind, too.
        let embedding = Embedding::load(&file, (*form == "webui").then_some("webui")).unwrap();
        pipeline.with_embedding(&embedding).unwrap()
    })
}

fn prompts() -> Vec<String> {
    let list = std::fs::read(fixtures().join("embeddings/prompts.json")).unwrap();
    serde_json::from_value(serde_json::from_slice::<serde_json::Value>(&list).unwrap()["prompts"].clone()).unwrap()
}

#[track_caller]
fn check_states(found: Tensor<3>, name: &str) {
    let golden = std::fs::read(fixtures().join("embeddings/states.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    let view = golden.tensor(name).unwrap();
    let words: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let wanted: Tensor<3> = Tensor::from_data(TensorData::new(words, view.shape().to_vec()), &Device::default());
    assert_eq!(found.dims(), wanted.dims());
    let error: f32 = (found - wanted).abs().max().into_scalar();
    println!("{name}: {error:.1e}");
    assert!(error <= 1e-4, "{name}: {error}");
}

#[test]
fn prompts_with_embeddings_have_the_states_of_diffusers() {
    for kind in ["sd1", "sd2"] {
        check_states(with_embeddings(kind).encode_prompts(&prompts()).unwrap(), kind);
    }
    let skipping = Pipeline { clip_skip: 1, ..with_embeddings("sd1") };
    check_states(skipping.encode_prompts(&prompts()).unwrap(), "sd1-skip");
}

#[test]
fn a_prompt_without_the_word_is_as_before() {
    let values = |pipeline: Pipeline| {
        pipeline.encode_prompts(&["a cat, the horse".to_owned()]).unwrap().try_into_vec_as::<f32>().unwrap()
    };
    assert_eq!(values(with_embeddings("sd1")), values(pipeline("sd1")));
}

#[test]
fn the_web_uis_syntax_knows_words_and_keeps_their_vectors_together() {
    let pipeline = with_embeddings("sd1");
    let pieces = |prompt: &str| pipeline.tokenizer.encode_pieces(prompt).unwrap();
    let (plain, upper) = (pieces("a (webui:1.5)"), pieces("a (WebUI:1.5)"));
    let at = plain[0].weights.iter().position(|weight| *weight == 1.5).unwrap();
    assert_eq!(plain[0].weights[at..at + 4], [1.5, 1.5, 1.5, 1.0]);
    assert_eq!(plain, upper);
    // The fixture's encoder takes 14 tokens: there is no room for three after 12.
    let full = format!("{}webui", "cat ".repeat(12));
    assert!(pieces("cat")[0].ids[2] == pieces("cat")[0].ids[15], "one word is one token");
    let found = pieces(&full);
    assert_eq!((found.len(), &found[1].ids[1..4]), (2, &plain[0].ids[at..at + 3]));
    // A word inside of another is no word there.
    assert!(pieces("webuis")[0].ids.iter().all(|id| !plain[0].ids[at..at + 3].contains(id)));
}

/// An embedding file of these tensors, all zero.
fn file(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()]).collect();
    let view = |((name, shape), data): (&(&str, &[usize]), &'static [u8])| {
        ((*name).to_owned(), TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
    };
    let views = tensors.iter().zip(data.into_iter().map(|data| &*data.leak())).map(view);
    serialize(views.collect::<Vec<_>>(), None).unwrap()
}

#[track_caller]
fn refused(tensors: &[(&str, &[usize])], reason: &str) {
    let read = Embedding::from_bytes("style.safetensors", file(tensors), None).map_err(|error| error.to_string());
    let error = read
        .and_then(|embedding| pipeline("sd1").with_embedding(&embedding).map(drop).map_err(|error| error.to_string()));
    let error = error.unwrap_err();
    assert!(error.contains(reason), "{error}");
}

#[test]
fn the_word_is_the_tensors_or_the_files_or_the_one_asked_for() {
    let word =
        |tensor: &str, token| Embedding::from_bytes("d/my.style.safetensors", file(&[(tensor, &[2, 16])]), token);
    assert_eq!(word("<toy>", None).unwrap().token, "<toy>");
    assert_eq!(word("emb_params", None).unwrap().token, "my.style");
    assert_eq!(word("<toy>", Some("other")).unwrap().token, "other");
    assert_eq!(word("<toy>", None).unwrap().len(), 2);
}

#[test]
fn what_is_no_embedding_of_the_model_is_refused() {
    refused(&[("clip_l", &[2, 768]), ("clip_g", &[2, 1280])], "an embedding of Stable Diffusion XL found");
    refused(&[("emb_params", &[2, 1024])], "vectors of width 1024 (2.x) found for `style`, 16 wanted by this model");
    refused(&[("a", &[16]), ("b", &[16])], "2 tensors found (`a`, `b`), one of a textual inversion wanted");
    refused(&[("a", &[0, 16])], "`a` of [0, 16] found, [vectors, width] wanted");
    refused(&[("a", &[1, 1, 16])], "`a` of [1, 1, 16] found");
    refused(&[("cat</w>", &[16])], "`cat</w>` is a token already");
    let error = Embedding::load(Path::new("style.pt"), None).unwrap_err().to_string();
    assert!(error.contains("style.pt") && error.contains("pickle"), "{error}");
    let mut nan = file(&[("a", &[16])]);
    let end = nan.len();
    nan[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let error = Embedding::from_bytes("a", nan, None).unwrap_err().to_string();
    assert!(error.contains("tensor `a` holds NaN, wanted finite numbers"), "{error}");
}
