//! Sessions that others drive: rewards, prompts and trackers of their own, a step at a time.

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use ddpo::config::{Layers, RunPlan};
use ddpo::core::Grouping;
use ddpo::rewards::{Diversity, JpegCompressibility};
use ddpo::train::{Event, Tracker};
use ddpo::{Judge, PromptMetadata, Reward, RewardBatch, RunDirectory, Session, Step, TrainOutcome};

fn plan(model: &Path, changes: &[&str]) -> RunPlan {
    let mut layers = Layers::default();
    let text = "[sample]\nsteps = 3\nbatch-size = 4\nbatches-per-epoch = 1\n[run]\nepochs = 2\n[eval]\nevery = 1\ncount = 2\n\
                [train]\nbatch-size = 4\naccumulation = 1\nlearning-rate = 1e-2\n[checkpoint]\nevery = 1\n";
    layers.push_toml("test", text).unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

/// How bright a picture is.
struct Bright(&'static str);

impl Reward for Bright {
    fn name(&self) -> &str {
        self.0
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo::core::Result<Vec<f32>> {
        let mean = |bytes: &[u8]| bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() / bytes.len() as f32;
        Ok(batch.images.iter().map(|image| mean(image.pixels()) / 255.0).collect())
    }
}

fn lora(run: &Path) -> Vec<u8> {
    std::fs::read(run.join(RunDirectory::LORA)).unwrap()
}

#[test]
fn a_session_tells_each_step_and_resumes_to_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    let mut session = Session::create(plan(&model, &[]), &whole).reward(Bright("bright")).open().unwrap();
    let mut steps = Vec::new();
    while let Some(step) = session.step().unwrap() {
        steps.push(match step {
            Step::Evaluated(state) => format!("evaluated {}", state.epoch),
            Step::Trained(epoch) => format!("trained {}", epoch.epoch),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(steps, ["evaluated 0", "trained 1", "evaluated 1", "trained 2", "evaluated 2"]);
    assert!(matches!(session.finish().unwrap(), TrainOutcome::Finished { .. }));

    // Dropped in the middle, as by a program that ends.
    let mut session = Session::create(plan(&model, &[]), &parts).reward(Bright("bright")).open().unwrap();
    for _ in 0..4 {
        session.step().unwrap();
    }
    drop(session);
    let resume = |name: &'static str| Session::resume(plan(&model, &[]), &parts).reward(Bright(name)).open();
    let refused = resume("other").err().unwrap().to_string();
    assert!(refused.contains("`reward`") && refused.contains("bright"), "{refused}");
    resume("bright").unwrap().run().unwrap();
    assert!(lora(&whole) == lora(&parts));
}

/// Counts the pictures it is shown.
#[derive(Clone, Default)]
struct Pictures(Arc<Mutex<Vec<Vec<String>>>>);

impl Tracker for Pictures {
    fn name(&self) -> &str {
        "pictures"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        if let Event::Samples(samples) = event {
            self.0.lock().unwrap().push(samples.prompts.to_vec());
        }
        Ok(())
    }
}

#[test]
fn prompts_held_out_rewards_and_trackers_are_the_callers() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (run, pictures) = (parent.path().join("run"), Pictures::default());
    let prompts = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let session = Session::create(plan(&model, &["run.epochs=1"]), &run)
        .judge(Judge::Set { reward: Box::new(Diversity), over: Grouping::Epoch })
        .held_out(Judge::Image(Box::new(JpegCompressibility)))
        .prompts(prompts(&["a cat", "a dog"]))
        .unwrap()
        .evaluation_prompts(prompts(&["a horse"]))
        .unwrap()
        .tracker(pictures.clone());
    session.open().unwrap().run().unwrap();
    assert_eq!(*pictures.0.lock().unwrap(), [["a horse", "a horse"], ["a horse", "a horse"]]);
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let described: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert_eq!(described["reward"]["name"], "diversity");
    assert!(metrics.contains("\"jpeg-compressibility\":-"), "{metrics}");
    let config = RunDirectory::read_config(&run).unwrap();
    for line in ["reward = \"diversity\"", "held-out = \"jpeg-compressibility\"", "values = [\"a cat\", \"a dog\"]"] {
        assert!(config.contains(line), "{line}");
    }
}

/// Fails unless every prompt comes with what its line says.
struct Checked(Arc<Mutex<Vec<String>>>);

impl Reward for Checked {
    fn name(&self) -> &str {
        "checked"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo::core::Result<Vec<f32>> {
        let score = |(prompt, known): (&String, &Arc<PromptMetadata>)| {
            self.0.lock().unwrap().push(format!("{prompt}: {}", known["of"]));
            f32::from(known["of"].as_array().is_some_and(|of| of[0] == prompt.as_str()))
        };
        assert_eq!(batch.metadata.len(), batch.images.len());
        Ok(batch.prompts.iter().zip(batch.metadata).map(score).collect())
    }
}

#[test]
fn what_a_file_says_of_a_prompt_reaches_the_reward() {
    let parent = tempfile::tempdir().unwrap();
    let (model, file) = (common::tiny_model(parent.path()), parent.path().join("prompts.jsonl"));
    let line = |text: &str| format!("{{\"of\": [\"{text}\"], \"prompt\": \" {text} \"}}\n");
    std::fs::write(&file, line("a cat") + &line("a dog")).unwrap();
    let (run, seen) = (parent.path().join("run"), Arc::default());
    let plan = plan(&model, &["prompts.kind=from-file", &format!("prompts.path={}", file.display())]);
    let session = Session::create(plan, &run).reward(Checked(Arc::clone(&seen))).open().unwrap();
    session.run().unwrap();
    // Two epochs of four samples, three evaluations of two.
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 14);
    for line in seen.iter() {
        assert!(["a cat: [\"a cat\"]", "a dog: [\"a dog\"]"].contains(&line.as_str()), "{line}");
    }
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert!(metrics.lines().skip(1).all(|line| !line.contains("reward_mean") || line.contains("\"reward_mean\":1.0")));
}

#[test]
fn a_session_that_cannot_start_leaves_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let run = parent.path().join("run");
    for changes in [&["reward=exec:./missing"], &["lora.targets=[\"nothing\"]"]] {
        assert!(Session::create(plan(&model, changes), &run).open().is_err());
        assert!(!run.exists(), "{changes:?}");
    }
}
