//! Encoders and tokenizers of the BERT family beside transformers and bert-score, from `fixtures/make_text_encoders.py`.

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_nn::{BertConfig, BertEncoder, ModelFiles, PlainTokenizer, Ragged, TensorFile, Weights, map};
use serde_json::Value;

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn open(name: &str) -> TensorFile {
    TensorFile::open(name, vec![map(&fixtures(name)).unwrap()]).unwrap()
}

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures("texts.json")).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn ids(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

/// The encoder of a folder, of two of its three layers as in bert-score.
fn encoder(folder: &str) -> (BertEncoder, Weights) {
    let json = std::fs::read(fixtures(folder).join("config.json")).unwrap();
    let config = BertConfig { num_hidden_layers: 2, ..BertConfig::from_json(&json).unwrap() };
    let encoder = BertEncoder::new(config).unwrap();
    let weights = encoder.load(&open(&format!("{folder}/model.safetensors")), &Device::default()).unwrap();
    (encoder, weights)
}

fn bits(x: Tensor<2>) -> Vec<u32> {
    x.try_into_vec_as::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

#[track_caller]
fn check_states(folder: &str) {
    let (encoder, weights) = encoder(folder);
    let ids = ids(&golden()[folder]["ids"]);
    let file = open("texts.safetensors");
    let found = encoder.forward(&weights, &ids, None).unwrap();
    assert_eq!(found.lengths, ids.iter().map(Vec::len).collect::<Vec<_>>());
    for (text, states) in found.split().into_iter().enumerate() {
        let name = format!("{folder}.{text}");
        let shape = file.shape(&name).unwrap().to_vec();
        let wanted = Tensor::<2>::from_data(TensorData::new(file.read(&name).unwrap(), shape), &Device::default());
        assert_eq!(states.dims(), wanted.dims());
        let largest = |x: Tensor<2>| x.abs().max().into_scalar::<f32>();
        let error = largest(states.clone() - wanted.clone()) / largest(wanted);
        assert!(error <= 1e-5, "{name}: relative error {error}");
        // A text does not know its batch.
        let alone = encoder.forward(&weights, &ids[text..=text], None).unwrap();
        assert_eq!(bits(alone.states), bits(states), "{name}");
    }
}

#[test]
fn states_of_roberta_are_transformers() {
    check_states("roberta");
}

#[test]
fn states_of_deberta_are_transformers() {
    check_states("deberta");
}

#[track_caller]
fn check_ids(folder: &str, prefix_space: bool) {
    let golden = golden();
    let files = ModelFiles::Directory(fixtures(folder));
    let tokenizer = PlainTokenizer::byte_level(&files, prefix_space).unwrap();
    for (text, ids) in texts(&golden[folder]["texts"]).iter().zip(ids(&golden[folder]["ids"])) {
        assert_eq!(tokenizer.encode(text.trim(), 30).unwrap(), ids, "{text}");
    }
    assert_eq!(tokenizer.encode("cat cat cat cat cat", 4).unwrap().len(), 4);
}

#[test]
fn byte_level_ids_are_those_of_bert_score() {
    check_ids("roberta", true);
    check_ids("deberta", false);
}

#[test]
fn word_pieces_are_berts() {
    let golden = &golden()["image_reward"];
    let tokenizer = PlainTokenizer::word_pieces(&ModelFiles::Directory(fixtures("image_reward"))).unwrap();
    for (text, ids) in texts(&golden["prompts"]).iter().zip(ids(&golden["ids"])) {
        assert_eq!(tokenizer.encode(text, 35).unwrap(), ids, "{text}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (encoder, weights) = encoder("roberta");
    let refused = |texts: &[Vec<u32>]| encoder.forward(&weights, texts, None).unwrap_err().to_string();
    assert_eq!(refused(&[vec![0, 2], vec![]]), "cannot encode text: number of tokens is 0, wanted 1 to 30");
    assert_eq!(refused(&[vec![0; 31]]), "cannot encode text: number of tokens is 31, wanted 1 to 30");
    assert_eq!(refused(&[]), "cannot encode text: number of texts is 0, wanted at least 1");
    assert!(refused(&[vec![9999]]).contains("token is 9999, wanted less than"));
    let files = ModelFiles::Directory(fixtures("clip"));
    let error = PlainTokenizer::byte_level(&files, false).unwrap_err().to_string();
    assert!(error.contains("no `<s>` and `</s>` found in the vocabulary"), "{error}");
    assert!(PlainTokenizer::word_pieces(&files).unwrap_err().to_string().contains("vocab.txt"));
}

#[test]
fn a_cross_attention_needs_a_picture_for_each_text() {
    let config = BertConfig {
        vocab_size: 9,
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        cross_width: Some(4),
        ..BertConfig::blip_large()
    };
    let (encoder, device) = (BertEncoder::new(config).unwrap(), Device::default());
    let weights = Weights::init(encoder.specs(), 1, &device);
    let texts = [vec![1, 2], vec![3]];
    let seen = |lengths: &[usize], width| Ragged {
        states: Tensor::ones([lengths.iter().sum(), width], &device),
        lengths: lengths.to_vec(),
    };
    let refused = |context: Option<&Ragged>| encoder.forward(&weights, &texts, context).unwrap_err().to_string();
    assert_eq!(refused(None), "cannot encode text: number of contexts is 0, wanted 2");
    assert_eq!(refused(Some(&seen(&[3], 4))), "cannot encode text: number of contexts is 1, wanted 2");
    assert_eq!(refused(Some(&seen(&[3, 3], 5))), "cannot encode text: width of the context is 5, wanted 4");
    let two = seen(&[3, 5], 4);
    assert_eq!(encoder.forward(&weights, &texts, Some(&two)).unwrap().states.dims(), [3, 8]);
}
