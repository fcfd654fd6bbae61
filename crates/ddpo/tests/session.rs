//! Sessions that others drive: rewards, prompts and trackers of their own, a step at a time.

mod common;

use std::path::Path;
use std::sync::{Arc, Mutex};

use ddpo::config::{Layers, RunPlan};
use ddpo::core::Grouping;
use ddpo::rewards::{Diversity, JpegCompressibility};
use ddpo::train::{EpochRecord, Event, Memory, Record, Tracker};
use ddpo::{Judge, PromptMetadata, Reward, RewardBatch, RunDirectory, Session, Step, TrainOutcome};
use ddpo_testing::{HttpReply, HttpServer};

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

/// A server whose score of a picture is a byte of it, and which fails at every third request as `fault` says.
fn server(fault: Option<HttpReply>) -> HttpServer {
    HttpServer::start(move |request| match &fault {
        Some(fault) if request.number % 3 == 2 => fault.clone(),
        _ => {
            let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
            let images = body["images"].as_array().unwrap();
            let scores = images.iter().map(|image| image.as_str().unwrap().bytes().map(u64::from).sum::<u64>() % 1000);
            HttpReply::ok(serde_json::json!({ "id": body["id"], "scores": scores.collect::<Vec<_>>() }).to_string())
        }
    })
}

/// The product of a run, its epochs and its warnings.
type Made = (Vec<u8>, Vec<EpochRecord>, Vec<String>);

/// Runs to the end with the reward of a server; what it made, its epochs and the warnings, or why it ended.
fn run_with(model: &Path, run: &Path, fault: Option<HttpReply>, options: &[&str]) -> Result<Made, String> {
    let (server, memory) = (server(fault), Memory::new());
    let url = format!("reward={}", server.url("/"));
    let changes: Vec<&str> = [url.as_str(), "sample.batches-per-epoch=3", "reward.backoff=0.01", "reward.timeout=1"]
        .into_iter()
        .chain(options.iter().copied())
        .collect();
    let session = Session::create(plan(model, &changes), run).tracker(memory.clone()).open().unwrap();
    let text = |error: ddpo::Error| {
        let chain = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    };
    session.run().map_err(text)?;
    let epochs = memory.records().into_iter().filter_map(|record| match record {
        Record::Epoch(epoch) => Some(epoch),
        _ => None,
    });
    Ok((lora(run), epochs.collect(), memory.warnings()))
}

#[test]
fn a_run_whose_server_fails_ends_as_its_policy_says() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (good, _, warnings) = run_with(&model, &parent.path().join("good"), None, &[]).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let faults = [
        HttpReply::Hang,
        HttpReply::ok("garbage"),
        HttpReply::ok("[1]"),
        HttpReply::BreakOff("[".to_owned()),
        HttpReply::Answer(503, Vec::new(), String::new()),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let path = |policy: &str| parent.path().join(format!("{policy}-{number}"));
        let (again, epochs, warnings) = run_with(&model, &path("retry"), Some(fault.clone()), &[]).unwrap();
        assert!(again == good && epochs.iter().all(|epoch| epoch.left_out == 0), "{fault:?}");
        assert!(warnings.iter().any(|warning| warning.contains("asked again after")), "{fault:?}: {warnings:?}");
        let skip = ["reward.on-failure=skip-sample", "reward.retries=0", "eval.every=0"];
        let (other, epochs, warnings) = run_with(&model, &path("skip"), Some(fault.clone()), &skip).unwrap();
        assert!(other != good && epochs.iter().any(|epoch| epoch.left_out == 4), "{fault:?}: {epochs:?}");
        assert!(warnings.iter().any(|warning| warning.contains("4 samples are left out")), "{fault:?}: {warnings:?}");
        let error = run_with(&model, &path("fail"), Some(fault.clone()), &["reward.on-failure=fail"]).unwrap_err();
        match number {
            // Of one value for four images the run itself complains.
            2 => assert!(
                error.starts_with("the reward `http://127.0.0.1:") && error.ends_with("` gave 1 value for 4 images"),
                "{error}"
            ),
            _ => assert!(
                error.starts_with("reward `http://127.0.0.1:") && error.contains(" failed: "),
                "{fault:?}: {error}"
            ),
        }
    }
}

#[test]
fn a_key_is_never_written_into_a_run() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    // Any variable without blanks will do.
    let key = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let (server, run) = (server(None), parent.path().join("run"));
    let url = format!("reward={}", server.url("/"));
    let changes = [url.as_str(), "reward.key-env=CARGO_MANIFEST_DIR"];
    Session::create(plan(&model, &changes), &run).open().unwrap().run().unwrap();
    assert!(server.requests()[0].headers.contains(&format!("authorization: Bearer {key}")));
    let mut folders = vec![run];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let bytes = std::fs::read(&entry).unwrap();
            assert!(!bytes.windows(key.len()).any(|window| window == key.as_bytes()), "{}", entry.display());
            files += 1;
        }
    }
    assert!(files > 5);
}
