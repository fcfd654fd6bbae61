//! BERTScore and ImageReward beside their originals on small random models of the true architectures; the numbers are from
//! `crates/ddpo-nn/fixtures/make_text_encoders.py`.

mod common;

use std::path::Path;

use burn::tensor::Device;
use common::{fixtures, images};
use ddpo_core::RewardBatch;
use ddpo_nn::ModelFiles;
use ddpo_rewards::learned::bert_score::{BertScore, BertScoreModel, Scores};
use ddpo_rewards::{RewardContext, RewardRegistry};
use serde_json::Value;

fn golden() -> Value {
    serde_json::from_slice(&std::fs::read(fixtures("texts.json")).unwrap()).unwrap()
}

fn texts(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

fn load(folder: &str) -> BertScore {
    BertScore::load(&ModelFiles::Directory(fixtures(folder)), Some(2), &Device::flex()).unwrap()
}

#[track_caller]
fn check(score: &BertScore, folder: &str, kind: &str) {
    let golden = golden();
    let (candidates, references) = (texts(&golden["candidates"]), texts(&golden["references"]));
    let wanted: Vec<[f32; 3]> = serde_json::from_value(golden[folder][kind].clone()).unwrap();
    let found = score.score(&candidates, &references).unwrap();
    for ((found, wanted), text) in found.iter().zip(wanted).zip(&candidates) {
        for (found, wanted) in [found.precision, found.recall, found.f1].iter().zip(wanted) {
            assert!(
                (found - wanted).abs() <= 1e-4 * wanted.abs(),
                "{folder} {kind} `{text}`: {found}, wanted {wanted}"
            );
        }
    }
    // What is kept of references changes nothing, and neither does what else is asked for.
    assert_eq!(score.score(&candidates, &references).unwrap(), found);
    assert_eq!(score.score(&candidates[..1], &references[..1]).unwrap(), found[..1]);
}

#[test]
fn scores_are_those_of_bert_score() {
    for folder in ["roberta", "deberta"] {
        check(&load(folder), folder, "plain");
    }
}

#[test]
fn rare_tokens_weigh_as_in_bert_score() {
    let references = texts(&golden()["references"]);
    for folder in ["roberta", "deberta"] {
        check(&load(folder).with_frequencies(&references).unwrap(), folder, "idf");
    }
}

#[test]
fn a_text_says_all_of_itself_and_an_empty_one_nothing() {
    let score = load("roberta");
    let text = ["the cat".to_owned(), "  ".to_owned()];
    let found = score.score(&text, &[text[0].clone(), text[0].clone()]).unwrap();
    assert!((found[0].recall - 1.0).abs() < 1e-6 && (found[0].f1 - 1.0).abs() < 1e-6, "{found:?}");
    assert_eq!(found[1], Scores { precision: 0.0, recall: 0.0, f1: 0.0 });
    let error = score.score(&text, &text[..1]).unwrap_err().to_string();
    assert_eq!(error, "cannot score texts: number of references is 1, wanted 2");
}

#[test]
fn a_layer_that_is_not_there_or_not_known_is_refused() {
    let files = ModelFiles::Directory(fixtures("roberta"));
    let refused = |layer| BertScore::load(&files, layer, &Device::flex()).err().unwrap().to_string();
    assert_eq!(refused(Some(4)), "cannot score texts: layer is 4, wanted 1 to 3");
    assert_eq!(refused(Some(0)), "cannot score texts: layer is 0, wanted 1 to 3");
    assert!(refused(None).contains("wanted 1 to 3, as none is known to be the best"));
}

fn model(path: &Path, layer: Option<usize>) -> BertScoreModel {
    BertScoreModel { model: path.display().to_string(), revision: "main".to_owned(), layer }
}

#[test]
fn a_model_is_opened_from_a_directory_and_named_for_the_hub() {
    let context = RewardContext::default();
    let score = model(&fixtures("deberta"), Some(2)).open("alignment", &context).unwrap();
    check(&score, "deberta", "plain");
    let hub = BertScoreModel { model: BertScoreModel::DEBERTA.to_owned(), ..model(Path::new(""), None) };
    let repository = hub.repository("alignment").unwrap();
    assert_eq!((repository.id.as_str(), repository.licence), (BertScoreModel::DEBERTA, Some("MIT")));
    let error = hub.open("alignment", &context).err().unwrap().to_string();
    assert!(error.contains("it is on the hub, which is not reached from here"), "{error}");
}

#[test]
fn a_pickled_encoder_is_named_with_the_command_that_converts_it() {
    let pickled = tempfile::tempdir().unwrap();
    std::fs::write(pickled.path().join("pytorch_model.bin"), b"x").unwrap();
    std::fs::copy(fixtures("roberta/config.json"), pickled.path().join("config.json")).unwrap();
    let error = model(pickled.path(), Some(2)).open("alignment", &RewardContext::default()).err().unwrap().to_string();
    assert!(
        error.contains("its weights are a pickle, which is never read; convert them once with `python -c"),
        "{error}"
    );
}

#[test]
fn image_reward_is_the_original() {
    let golden = &golden()["image_reward"];
    let (prompts, images) = (texts(&golden["prompts"]), images());
    let options = format!("model = '{}'", fixtures("image_reward").display()).parse().unwrap();
    let plan = RewardRegistry::default().plan("image-reward", &options).unwrap();
    assert!(plan.repositories().unwrap().is_empty());
    let judge = plan.open(&RewardContext::default()).unwrap();
    let all = RewardBatch::new(&images, &prompts);
    let found = judge.score(&all, 6).unwrap();
    let wanted: Vec<f32> = serde_json::from_value(golden["values"].clone()).unwrap();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert!((found - wanted).abs() <= 1e-4 * wanted.abs(), "{found}, wanted {wanted}");
    }
    assert_eq!(judge.score(&all, 1).unwrap(), found);
}

#[test]
fn the_published_pickle_is_named_with_the_command_that_converts_it() {
    let plan = RewardRegistry::default().plan("image-reward", &toml::Table::new()).unwrap();
    assert!(plan.repositories().unwrap().is_empty());
    let error = plan.open(&RewardContext::default()).err().unwrap().to_string();
    assert!(error.contains("`zai-org/ImageReward`") && error.contains("'image-reward/model.safetensors'"), "{error}");
}
