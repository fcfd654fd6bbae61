//! Rewards that are networks, beside their Python originals on small random models of the true architectures; the numbers are
//! from `crates/ddpo-nn/fixtures/make_towers.py`.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::{fixtures, images};
use ddpo_core::{Judge, RewardBatch};
use ddpo_rewards::{Repositories, Repository, Result, RewardContext, RewardRegistry};
use serde::Deserialize;
use toml::Table;

#[derive(Deserialize)]
struct Golden {
    prompts: Vec<String>,
    values: BTreeMap<String, Vec<f32>>,
}

fn golden() -> Golden {
    serde_json::from_slice(&std::fs::read(fixtures("rewards.json")).unwrap()).unwrap()
}

fn open(kind: &str, options: &str, context: &RewardContext) -> Result<Judge> {
    RewardRegistry::default().plan(kind, &options.parse::<Table>().unwrap())?.open(context)
}

fn directory(path: &Path) -> String {
    format!("model = '{}'", path.display())
}

#[track_caller]
fn check(kind: &str, options: &str) {
    let Golden { prompts, values } = golden();
    let judge = open(kind, options, &RewardContext::default()).unwrap();
    let images = images();
    let all = RewardBatch::new(&images, &prompts);
    let together = judge.score(&all, 6).unwrap();
    for (found, wanted) in together.iter().zip(&values[kind]) {
        let error = (found - wanted).abs() / wanted.abs().max(0.1);
        assert!(error <= 1e-4, "{kind}: {together:?} found, {:?} wanted", values[kind]);
    }
    // A value does not know its batch.
    assert_eq!(judge.score(&all, 1).unwrap(), together, "{kind}");
    assert_eq!(judge.name(), kind);
    assert!(judge.score(&RewardBatch::new(&[], &[]), 4).unwrap().is_empty());
}

/// In bf16 a value has some three digits: it is another one than in f32, and near.
#[track_caller]
fn check_half(kind: &str, model: &Path) {
    let prompts = golden().prompts;
    let images = images();
    let all = RewardBatch::new(&images, &prompts);
    let score = |dtype: &str, batch| {
        let options = format!("{}\ndtype = '{dtype}'", directory(model));
        open(kind, &options, &RewardContext::default()).unwrap().score(&all, batch).unwrap()
    };
    let (half, full) = (score("bf16", 6), score("f32", 6));
    for (found, wanted) in half.iter().zip(&full) {
        let error = (found - wanted).abs() / wanted.abs().max(0.1);
        assert!(error > 0.0 && error <= 3e-2, "{kind}: {half:?} found, {full:?} wanted");
    }
    assert_eq!(score("bf16", 1), half, "{kind}: a value does not know its batch");
}

#[test]
fn networks_in_bf16_are_near() {
    check_half("clip-score", &fixtures("clip"));
    check_half("aesthetic", &fixtures("aesthetic"));
    check_half("image-reward", &fixtures("image_reward"));
    let error = open("clip-score", "dtype = 'f16'", &RewardContext::default()).err().unwrap().to_string();
    assert!(error.contains("dtype"), "{error}");
}

fn copy(from: &Path, to: &Path, names: &[&str]) {
    for name in names {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

#[test]
fn clip_score_is_torchmetrics() {
    check("clip-score", &directory(&fixtures("clip")));
}

#[test]
fn pickscore_is_the_scaled_cosine() {
    check("pickscore", &directory(&fixtures("clip")));
}

#[test]
fn hpsv2_is_the_original() {
    // Its weights have no vocabulary beside them, which is CLIP's.
    let model = tempfile::tempdir().unwrap();
    copy(&fixtures("clip"), model.path(), &["vocab.json", "merges.txt", "tokenizer_config.json"]);
    copy(&fixtures("open_clip"), model.path(), &["open_clip_config.json", "open_clip_model.safetensors"]);
    check("hpsv2", &directory(model.path()));
}

#[test]
fn aesthetic_is_the_published_predictor() {
    check("aesthetic", &directory(&fixtures("aesthetic")));
}

/// A hub that notes what it is asked for.
struct Shelf {
    directory: PathBuf,
    asked: Mutex<Vec<Repository>>,
}

impl Repositories for Shelf {
    fn directory(&self, repository: &Repository) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
        self.asked.lock().unwrap().push(repository.clone());
        if self.directory.is_dir() { Ok(self.directory.clone()) } else { Err("it is closed".into()) }
    }
}

fn shelf(directory: PathBuf) -> (Arc<Shelf>, RewardContext) {
    let shelf = Arc::new(Shelf { directory, asked: Mutex::default() });
    (shelf.clone(), RewardContext::default().with_repositories(shelf))
}

#[test]
fn a_published_model_is_asked_for_with_its_revision_and_licence() {
    let (shelf, context) = shelf(fixtures("clip"));
    open("clip-score", "revision = 'abc'", &context).unwrap();
    let asked = shelf.asked.lock().unwrap();
    let [repository] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!((repository.id.as_str(), repository.revision.as_str()), ("openai/clip-vit-large-patch14", "abc"));
    assert_eq!(repository.licence, Some("MIT"));
    // What is asked for is what was announced.
    let plan = RewardRegistry::default().plan("clip-score", &Table::new()).unwrap();
    let announced = plan.repositories().unwrap();
    assert_eq!(
        (announced[0].id.as_str(), announced[0].revision.as_str()),
        (repository.id.as_str(), "32bd64288804d66eefd0ccbe215aa642df71cc41")
    );
    // What is known of one repository says nothing of another.
    let other = toml::Table::from_iter([("model".to_owned(), "org/name".into())]);
    let other = RewardRegistry::default().plan("clip-score", &other).unwrap();
    assert_eq!(other.repositories().unwrap()[0].revision, "main");
}

#[test]
fn rewards_of_one_network_open_it_once() {
    for kind in ["clip-score", "aesthetic"] {
        let (shelf, context) = shelf(fixtures(if kind == "aesthetic" { "aesthetic" } else { "clip" }));
        let asked = || shelf.asked.lock().unwrap().len();
        let task = context.clone().with_prompts(vec!["a fox".to_owned()], Vec::new());
        let (_first, _second) = (open(kind, "", &context).unwrap(), open(kind, "", &task).unwrap());
        assert_eq!(asked(), 1, "{kind}");
        // How a reward is asked is its own; a network with other digits is another, and so is one of another run.
        let _third = open(kind, "retries = 1", &context).unwrap();
        assert_eq!(asked(), 1, "{kind}");
        let _fourth = open(kind, "dtype = 'bf16'", &context).unwrap();
        let _of_another = open(kind, "", &RewardContext::default().with_repositories(shelf.clone())).unwrap();
        assert_eq!(asked(), 3, "{kind}");
    }
}

#[test]
fn every_published_model_has_a_licence() {
    let registry = RewardRegistry::default();
    let mut known = 0;
    for factory in registry.factories() {
        if ["exec", "http", "alignment"].contains(&factory.kind()) {
            continue;
        }
        for repository in factory.repositories(&Table::new()).unwrap() {
            assert!(repository.licence.is_some() && repository.about.is_some(), "{repository:?}");
            // The commit of the aesthetic predictor is not known.
            let is_commit =
                repository.revision.len() == 40 && repository.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
            assert!(is_commit || factory.kind() == "aesthetic", "{repository:?}");
            known += 1;
        }
    }
    assert!(known >= 3, "{known}");
}

#[track_caller]
fn check_error(kind: &str, options: &str, context: &RewardContext, expect: &str) {
    let error = open(kind, options, context).err().unwrap();
    let whole = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text = whole.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    assert!(text.contains(expect), "{text}");
}

#[test]
fn what_is_not_there_is_named() {
    let nowhere = RewardContext::default();
    check_error("aesthetic", "model = './nowhere'", &nowhere, "there is no such directory, and it is no hub id");
    check_error("pickscore", "", &nowhere, "`yuvalkirstain/PickScore_v1` of the reward `pickscore`: it is on the hub");
    let (_, closed) = shelf("/nowhere".into());
    check_error(
        "pickscore",
        "",
        &closed,
        "open the model `yuvalkirstain/PickScore_v1` of the reward `pickscore`: it is closed",
    );
    let empty = tempfile::tempdir().unwrap();
    check_error("clip-score", &directory(empty.path()), &closed, "it is closed");
    check_error("aesthetic", &directory(empty.path()), &nowhere, "has no file `model.safetensors`");
    check_error("aesthetic", &directory(&fixtures("clip")), &nowhere, "`layers.0.weight`");
}

#[test]
fn a_pickle_is_named_with_the_command_that_converts_it() {
    let context = RewardContext::default();
    check_error(
        "hpsv2",
        "",
        &context,
        "its weights are a pickle, which is never read; convert them once with `python -c",
    );
    let options = format!("{}\nhead = 'sac+logos+ava1-l14-linearMSE.pth'", directory(&fixtures("aesthetic")));
    check_error("aesthetic", &options, &context, "save_file(torch.load('sac+logos+ava1-l14-linearMSE.pth'");
    let pickled = tempfile::tempdir().unwrap();
    std::fs::write(pickled.path().join("pytorch_model.bin"), b"x").unwrap();
    copy(&fixtures("clip"), pickled.path(), &["vocab.json", "merges.txt", "config.json"]);
    check_error("clip-score", &directory(pickled.path()), &context, "refusing pickled weights `pytorch_model.bin`");
}

#[test]
fn a_head_in_a_file_of_its_own_is_read() {
    let whole = open("aesthetic", &directory(&fixtures("aesthetic")), &RewardContext::default()).unwrap();
    let head = fixtures("aesthetic/model.safetensors");
    let options = format!("{}\nhead = '{}'", directory(&fixtures("aesthetic")), head.display());
    let split = open("aesthetic", &options, &RewardContext::default()).unwrap();
    let (images, prompts) = (images(), golden().prompts);
    let all = RewardBatch::new(&images, &prompts);
    assert_eq!(whole.score(&all, 6).unwrap(), split.score(&all, 6).unwrap());
}
