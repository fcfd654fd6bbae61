//! Prompts with weights and of any length: the states of the rule of A1111's web UI (`fixtures/make_prompts.py`).

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::Pipeline;
use ddpo_nn::ModelFiles;
use safetensors::SafeTensors;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn pipeline(kind: &str) -> Pipeline {
    Pipeline::load(&ModelFiles::Directory(fixtures().join(kind)), &Device::default()).unwrap()
}

fn values(x: Tensor<3>) -> Vec<f32> {
    x.try_into_vec_as::<f32>().unwrap()
}

#[test]
fn weighted_prompts_have_the_states_of_the_web_uis_rule() {
    let list: serde_json::Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("prompts.json")).unwrap()).unwrap();
    let prompts: Vec<String> = serde_json::from_value(list["prompts"].clone()).unwrap();
    let golden = std::fs::read(fixtures().join("prompts.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&golden).unwrap();
    for kind in ["sd1", "sd2"] {
        let pipeline = pipeline(kind);
        for (prompt, pieces) in prompts.iter().zip(list["pieces"][kind].as_array().unwrap()) {
            let found = pipeline.tokenizer.encode_pieces(prompt).unwrap().len();
            assert_eq!(Some(found as u64), pieces.as_u64(), "{kind} `{prompt}`");
        }
        let view = golden.tensor(kind).unwrap();
        let words: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let wanted: Tensor<3> = Tensor::from_data(TensorData::new(words, view.shape().to_vec()), &Device::default());
        let found = pipeline.encode_weighted(&prompts).unwrap();
        assert_eq!(found.dims(), wanted.dims());
        let error: f32 = (found - wanted).abs().max().into_scalar();
        println!("{kind}: {error:.1e}");
        assert!(error <= 1e-4, "{kind}: {error}");
    }
}

#[test]
fn a_prompt_that_fits_and_has_no_weights_is_the_plain_one() {
    let prompts = ["a cat".to_owned(), "the horse, café 猫".to_owned(), String::new()];
    for kind in ["sd1", "sd2"] {
        let pipeline = pipeline(kind);
        let weighted = pipeline.encode_weighted(&prompts).unwrap();
        assert_eq!(values(weighted), values(pipeline.encode_prompts(&prompts).unwrap()), "{kind}");
    }
}

#[test]
fn a_prompt_does_not_know_its_neighbours_but_for_their_length() {
    let pipeline = pipeline("sd1");
    let (one, other) = ("a (cat:1.3) BREAK dog".to_owned(), "the (horse:0.2) BREAK [cat]".to_owned());
    let both = pipeline.encode_weighted(&[one.clone(), other]).unwrap();
    assert_eq!(values(both.narrow(0, 0, 1)), values(pipeline.encode_weighted(&[one]).unwrap()));
    // The shorter of two ends with a piece of nothing.
    let pair = pipeline.encode_weighted(&["cat".into(), "cat BREAK cat".into()]).unwrap();
    assert_eq!(pair.dims(), [2, 32, 16]);
    let nothing = pipeline.encode_prompts(&[String::new()]).unwrap();
    assert_eq!(values(pair.narrow(0, 0, 1).narrow(1, 16, 16)), values(nothing));
}
