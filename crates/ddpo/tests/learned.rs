//! Learned rewards in whole runs, with small random networks of the true architectures in the place of the published ones.

mod common;
#[path = "common/hub_server.rs"]
mod hub_server;

use std::path::{Path, PathBuf};

use ddpo::config::{Layers, Preset, RunPlan};
use ddpo::hub::{Hub, HubSettings};
use ddpo::{Session, Step, TrainOutcome};
use ddpo_testing::{HttpReply, HttpServer};
use hub_server::{Behaviour, HubServer};

fn fixtures(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-nn/tests/fixtures").join(name)
}

/// A run of a preset on a tiny model, in so few steps and epochs that it takes seconds.
fn plan(preset: &str, model: &Path, changes: &[String]) -> RunPlan {
    let mut layers = Layers::default();
    layers.push_preset(Preset::find(preset).unwrap()).unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    let short = ["run.epochs=1", "sample.steps=2", "eval.count=2", "eval.every=1"].map(String::from);
    short.iter().chain(changes).for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

#[test]
fn the_aesthetic_preset_runs_with_the_papers_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let model = common::tiny_model(directory.path());
    let reward = format!("reward.model={}", fixtures("aesthetic").display());
    let held_out = format!("eval.held-out=[{{ kind = 'clip-score', model = '{}' }}]", fixtures("clip").display());
    let plan = plan("aesthetic", &model, &[reward, held_out]);
    assert_eq!((plan.samples_per_epoch, plan.updates_per_epoch()), (256, 2));
    let path = directory.path().join("run");
    let mut session = Session::create(plan, &path).open().unwrap();
    let mut trained = None;
    let mut held_out = Vec::new();
    while let Some(step) = session.step().unwrap() {
        match step {
            Step::Trained(epoch) => trained = Some(epoch),
            Step::Evaluated(state) => held_out.push(state.held_out["clip-score"]),
            _ => {}
        }
    }
    let epoch = trained.unwrap();
    assert!(epoch.reward_mean.is_finite() && epoch.reward_std > 0.0, "{epoch:?}");
    assert!(!held_out.is_empty() && held_out.iter().all(|value| value.is_finite()), "{held_out:?}");
    assert!(matches!(session.finish().unwrap(), TrainOutcome::Finished { .. }));
}

#[test]
fn the_alignment_preset_runs_with_the_papers_sizes_and_keeps_what_the_model_said() {
    let directory = tempfile::tempdir().unwrap();
    let model = common::tiny_model(directory.path());
    // It describes what it sees in a word or two, and fails now and then.
    let server = HttpServer::start(|request| match request.number {
        number if number % 40 == 39 => HttpReply::Answer(503, Vec::new(), "busy".to_owned()),
        _ => {
            let words = ["a cat", "a dog riding a bike", "a bird playing chess"]
                [request.body.bytes().map(usize::from).sum::<usize>() % 3];
            let body = serde_json::json!({ "choices": [{ "message": { "content": words } }] });
            HttpReply::ok(body.to_string())
        }
    });
    let changes = [
        format!("reward.url={}", server.url("/v1")),
        format!("reward.bert-score={}", fixtures("roberta").display()),
        "reward.layer=2".to_owned(),
        "reward.backoff=0.01".to_owned(),
    ];
    let plan = plan("prompt-image-alignment", &model, &changes);
    assert_eq!((plan.samples_per_epoch, plan.updates_per_epoch()), (288, 2));
    let path = directory.path().join("run");
    let mut session = Session::create(plan, &path).open().unwrap();
    let mut trained = None;
    while let Some(step) = session.step().unwrap() {
        if let Step::Trained(epoch) = step {
            trained = Some(epoch);
        }
    }
    let epoch = trained.unwrap();
    assert!(epoch.reward_std > 0.0 && epoch.left_out == 0, "{epoch:?}");
    assert!((epoch.reward_parts["recall"] - epoch.reward_mean).abs() < 1e-6, "{epoch:?}");
    let answers = std::fs::read_to_string(path.join("answers.jsonl")).unwrap();
    assert!(answers.lines().filter(|line| line.contains("\"of\":\"training\"")).count() >= 288, "{answers}");
    assert!(answers.contains("\"answer\":\"a dog riding a bike\""), "{answers}");
    assert!(matches!(session.finish().unwrap(), TrainOutcome::Finished { .. }));
}

#[test]
fn a_reward_is_the_same_from_any_directory() {
    let directory = tempfile::tempdir().unwrap();
    let model = common::tiny_model(directory.path());
    let relative = Path::new("../ddpo-nn/tests/fixtures/aesthetic");
    let plan = plan("aesthetic", &model, &[format!("reward.model={}", relative.display())]);
    let anchored = plan.config.with_absolute_paths();
    let model = anchored.reward.0[0].options["model"].as_str().unwrap();
    assert!(Path::new(model).is_absolute() && model.ends_with("ddpo-nn/tests/fixtures/aesthetic"), "{model}");
}

/// The networks of a reward of the hub are fetched once, and only what is needed of them; later the hub is not asked.
#[test]
fn networks_come_from_the_hub_once() {
    let directory = tempfile::tempdir().unwrap();
    let clip = directory.path().join("clip");
    std::fs::create_dir(&clip).unwrap();
    for name in std::fs::read_dir(fixtures("clip")).unwrap().map(|entry| entry.unwrap().file_name()) {
        std::fs::copy(fixtures("clip").join(&name), clip.join(&name)).unwrap();
    }
    std::fs::write(clip.join("README.md"), "of no use here").unwrap();
    let server = HubServer::start(&clip, Behaviour::default());
    let settings = HubSettings {
        endpoint: server.endpoint.clone(),
        cache: directory.path().join("hub"),
        token: None,
        offline: false,
        certificates: None,
        timeout: std::time::Duration::from_secs(10),
    };
    let reward = ddpo::RewardRegistry::default().plan("clip-score", &"model = 'org/tiny'".parse().unwrap()).unwrap();
    let [repository] = ddpo::reward::repositories([&reward, &reward]).unwrap().try_into().unwrap();
    let hub = Hub::new(settings.clone());
    assert!(!hub.has_repository(&repository));
    let fetched = hub.fetch_repository(&repository, &mut |_| {}).unwrap();
    assert!(fetched.join("model.safetensors").is_file() && !fetched.join("README.md").exists());
    assert!(hub.has_repository(&repository));
    let asked = server.requests();
    assert!(asked.iter().any(|line| line.contains("model.safetensors")), "{asked:?}");
    assert!(!asked.iter().any(|line| line.contains("README.md")), "{asked:?}");
    hub.fetch_repository(&repository, &mut |_| {}).unwrap();
    assert!(server.requests().is_empty());
    let offline = Hub::new(HubSettings { offline: true, ..settings });
    assert_eq!(offline.fetch_repository(&repository, &mut |_| {}).unwrap(), fetched);
}
