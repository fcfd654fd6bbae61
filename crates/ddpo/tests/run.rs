//! Runs end to end: what they leave, that they resume to the byte, what they refuse.

mod common;

use std::path::Path;

use ddpo::config::{Layers, RunPlan, SamplerPlan};
use ddpo::device::DeviceName;
use ddpo::prompts::PromptSplit;
use ddpo::train::{Broadcast, Event, Stage, StopFlag, Tracker};
use ddpo::{
    GradientRequest, LoadedModel, MeasureRequest, RunDirectory, Session, SessionBuilder, TrainOutcome, measure_gradient,
};
use ddpo_testing::MeanBrightness;

/// A plan of seconds, with sampling and training batches of different sizes.
fn plan(model: &Path, changes: &[&str]) -> RunPlan {
    let mut layers = Layers::default();
    layers
        .push_toml(
            "test",
            "[sample]\nsteps = 4\nbatch-size = 4\nbatches-per-epoch = 3\n[train]\nbatch-size = 6\nlearning-rate = 1e-2\n\
             [eval]\nevery = 2\ncount = 3\n[checkpoint]\nevery = 1\nkeep = 2\n[run]\nepochs = 4\n\
             [advantage]\nkind = \"per-prompt\"\n",
        )
        .unwrap();
    layers.push_value("test", "model.path", model.to_str().unwrap()).unwrap();
    // The score function's update is of all an epoch's batches.
    if !changes.contains(&"train.algorithm=ddpo-sf") {
        layers.push_assignment("train.accumulation=1").unwrap();
    }
    changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
    RunPlan::new(layers.resolve().unwrap()).unwrap()
}

fn run(
    plan: &RunPlan,
    path: &Path,
    resume: bool,
    with: impl FnOnce(SessionBuilder) -> SessionBuilder,
) -> ddpo::Result<TrainOutcome> {
    let session = if resume { Session::resume(plan.clone(), path) } else { Session::create(plan.clone(), path) };
    with(session).open()?.run()
}

fn quiet(plan: &RunPlan, path: &Path, resume: bool) -> ddpo::Result<TrainOutcome> {
    run(plan, path, resume, |session| session)
}

/// Sets the flag at the n-th event of a stage in an epoch.
struct StopAt {
    stage: Stage,
    epoch: u64,
    flag: StopFlag,
}

impl Tracker for StopAt {
    fn name(&self) -> &str {
        "stop"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        if let Event::Progress(progress) = event
            && (progress.stage, progress.epoch) == (self.stage, self.epoch)
            && progress.done > 1
        {
            self.flag.stop();
        }
        Ok(())
    }
}

/// `metrics.jsonl` without what a clock measured, the machine, and how many epochs were planned at first.
fn metrics(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let without_times = |line: &str| {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let first = value["kind"] == "run";
        let differs = |key: &str| {
            let of_run = first && ["started", "machine", "epochs", "command"].contains(&key);
            of_run || key.ends_with("_seconds") || key == "images_per_second"
        };
        value.as_object_mut().unwrap().retain(|key, _| !differs(key));
        value
    };
    text.lines().map(without_times).collect()
}

#[track_caller]
fn check_same(a: &Path, b: &Path) {
    assert_eq!(metrics(a), metrics(b));
    for file in [RunDirectory::LORA, "samples/epoch_0000.png", "samples/epoch_0004.png"] {
        assert!(std::fs::read(a.join(file)).unwrap() == std::fs::read(b.join(file)).unwrap(), "{file}");
    }
}

/// The same chains, the same sums: what `ddpo evaluate` says is what the run has recorded, to the last digit.
#[test]
fn a_measurement_is_the_runs_own_evaluation() {
    let parent = tempfile::tempdir().unwrap();
    let (model, path) = (common::tiny_model(parent.path()), parent.path().join("run"));
    let plan = plan(&model, &["run.epochs=2", "eval.count=6"]);
    quiet(&plan, &path, false).unwrap();
    let text = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let record = text.lines().rfind(|line| line.contains("\"kind\":\"eval\"")).unwrap();

    let loaded = LoadedModel::open(&plan.model, plan.device).unwrap();
    let tuned = loaded.denoiser(&[ddpo::adapter::AdapterSource { path: path.clone(), strength: 1.0 }]).unwrap();
    let base = loaded.denoiser(&[]).unwrap();
    let (sample, eval) = (&plan.config.sample, &plan.config.eval);
    let request = MeasureRequest {
        prompts: PromptSplit::load(&plan.prompts, plan.eval_prompts.as_ref()).unwrap().evaluation,
        count: eval.count,
        rewards: plan.reward.iter().map(|term| term.reward.clone()).collect(),
        sampler: sample.sampler(),
        guidance: sample.guidance,
        negative_prompt: sample.negative_prompt.clone(),
        seed: eval.seed,
        batch_size: sample.batch_size,
        size: [None, None],
    };
    let mut heard = Vec::new();
    let on_step = &mut |done, total| heard.push((done, total));
    let measured = ddpo::measure(&loaded, &*tuned, Some(&*base), &request, &StopFlag::new(), on_step).unwrap();
    let rewards = measured.rewards.values().next().unwrap();
    let mean = rewards.iter().map(|&reward| f64::from(reward)).sum::<f64>() / rewards.len() as f64;
    let numbers = [("reward_mean", mean), ("kl_to_base", measured.kl_to_base), ("diversity", measured.diversity)];
    for (name, value) in numbers {
        assert!(value != 0.0);
        let wanted = format!("\"{name}\":{}", serde_json::to_string(&value).unwrap());
        assert!(record.contains(&wanted), "{wanted} in {record}");
    }
    // Two batches, four steps each for the chains and as many as draw something for their divergence: the bar is full when all
    // is done.
    let total = heard[0].1;
    assert!(total > 8);
    assert_eq!(heard, (1..=total).map(|done| (done, total)).collect::<Vec<_>>());
}

#[test]
fn a_run_leaves_everything_and_starts_at_ratio_one() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    let outcome = quiet(&plan(&model, &["track.csv=true", "track.tensorboard=true"]), &path, false).unwrap();
    assert!(matches!(outcome, TrainOutcome::Finished { .. }));
    for file in [
        "config.toml",
        "metrics.csv",
        "report.html",
        "checkpoints/epoch_0004/manifest.json",
        "samples/epoch_0002.png",
        RunDirectory::LORA,
    ] {
        assert!(path.join(file).is_file(), "{file}");
    }
    let metrics = metrics(&path);
    let first_updates =
        metrics.iter().filter(|line| line["kind"] == "update" && line["step"].as_u64().unwrap() % 2 == 1);
    // Sampled four at a time, trained on six at a time: the ratio is 1 all the same, to the bit.
    let deviations: Vec<f64> = first_updates.map(|line| line["ratio_max_deviation"].as_f64().unwrap()).collect();
    assert_eq!(deviations, [0.0; 4]);
    let moved = metrics.iter().filter(|line| line["kind"] == "eval").filter_map(|line| line["kl_to_base"].as_f64());
    let moved: Vec<f64> = moved.collect();
    assert!(moved[0] == 0.0 && moved[1] > 0.0 && moved[2] > 0.0, "{moved:?}");
}

#[test]
fn a_resumed_run_ends_with_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    quiet(&plan(&model, &[]), &whole, false).unwrap();
    quiet(&plan(&model, &["run.epochs=2"]), &parts, false).unwrap();
    quiet(&plan(&model, &[]), &parts, true).unwrap();
    check_same(&whole, &parts);
}

/// Tasks that want the same are one task: whose epoch it is changes no byte of what is learnt.
#[test]
fn twins_of_a_task_make_the_adapter_of_one() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let end = |name: &str, tasks: &str| {
        let run = parent.path().join(name);
        let batch = ["advantage.kind=batch", "anchor.weight=0.5", "anchor.samples=4", "run.epochs=2"];
        quiet(&plan(&model, &[&[tasks][..], &batch].concat()), &run, false).unwrap();
        (std::fs::read(run.join(RunDirectory::LORA)).unwrap(), metrics(&run))
    };
    let (one, of_one) = end("one", "run.threads=0");
    let (twins, of_twins) = end("twins", "task=[{ name = \"a\" }, { name = \"b\" }]");
    assert!(one == twins);
    // Each is measured as the one is.
    let evals = |lines: &[serde_json::Value]| -> Vec<serde_json::Value> {
        lines.iter().filter(|line| line["kind"] == "eval").cloned().collect()
    };
    for (one, both) in evals(&of_one).iter().zip(evals(&of_twins)) {
        for task in 0..2 {
            for field in ["reward_mean", "rewards", "improved"] {
                assert_eq!(both["tasks"][task].get(field), one.get(field), "{field}");
            }
        }
        assert_eq!((&both["kl_to_base"], &both["diversity"]), (&one["kl_to_base"], &one["diversity"]));
    }
    // Another reward for one of them is another run.
    let (other, _) = end("other", "task=[{ name = \"a\" }, { name = \"b\", reward = \"jpeg-incompressibility\" }]");
    assert!(one != other);
}

#[test]
fn a_run_of_tasks_resumes_to_the_same_bytes_and_reports_each() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let tasks = "task=[{ name = \"small\" }, { name = \"large & many\", reward = \"jpeg-incompressibility\", \
                 prompts = { kind = \"list\", values = [\"a cat\", \"a dog\"] }, advantage = { kind = \"group\", group-size = 4 } }]";
    let plan = |more: &[&str]| plan(&model, &[&[tasks, "advantage.min-count=1"][..], more].concat());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    quiet(&plan(&[]), &whole, false).unwrap();
    // It is the second task's turn when it goes on.
    quiet(&plan(&["run.epochs=3"]), &parts, false).unwrap();
    quiet(&plan(&[]), &parts, true).unwrap();
    check_same(&whole, &parts);
    let lines = metrics(&whole);
    let epochs: Vec<&str> =
        lines.iter().filter(|line| line["kind"] == "epoch").map(|line| line["task"].as_str().unwrap()).collect();
    assert_eq!(epochs, ["small", "large & many", "small", "large & many"]);
    assert_eq!((&lines[0]["tasks"][1]["training"], &lines[0]["tasks"][0]["evaluation"]), (&2.into(), &8.into()));
    // Three pictures of eight prompts and three of two: as many prompts as pictures, in turns.
    assert_eq!(lines[0]["prompts"]["evaluation"].as_array().unwrap().len(), 6);
    let report = std::fs::read_to_string(whole.join("report.html")).unwrap();
    for part in [
        "The mean gain of the tasks <q>small, large &amp; many</q>",
        "<h2 id=\"tasks\">Tasks</h2>",
        "<tr><th>large &amp; many</th><td>jpeg-incompressibility, kB</td>",
        "Task small: jpeg-compressibility",
        "large &amp; many: jpeg-incompressibility, in kB; 2 to train on and 2 prompts to evaluate on",
    ] {
        assert!(report.contains(part), "{part}");
    }
    // Other tasks are another run.
    let other = plan(&["advantage.min-count=1", "task=[{ name = \"small\" }]"]);
    let error = quiet(&other, &whole, true).unwrap_err().to_string();
    assert!(error.starts_with("setting `task` is "), "{error}");
    // A reward of a session's own is one of a run without tasks.
    let given = run(&plan(&[]), &parent.path().join("given"), false, |session| session.reward(Grey));
    let error = given.unwrap_err().to_string();
    assert!(error.contains("invalid `reward`: found one that the session was given, beside tasks"), "{error}");
}

/// Nothing is better than anything else.
struct Grey;

impl ddpo::Reward for Grey {
    fn name(&self) -> &str {
        "grey"
    }

    fn score(&self, batch: &ddpo::RewardBatch<'_>) -> ddpo::core::Result<Vec<f32>> {
        Ok(vec![0.0; batch.images.len()])
    }
}

/// What a policy ratio of exactly 1 needs holds in half precision, too: no row knows its batch, and constants multiply in one way.
#[test]
fn a_run_in_bf16_on_the_processor_starts_at_ratio_one_and_resumes_to_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let [whole, parts, full] = ["whole", "parts", "full"].map(|name| parent.path().join(name));
    let plan = |dtype: &str, more: &[&str]| {
        let dtype = format!("model.dtype={dtype}");
        plan(&model, &[&["run.device=cpu", dtype.as_str()], more].concat())
    };
    quiet(&plan("bf16", &[]), &whole, false).unwrap();
    quiet(&plan("bf16", &["run.epochs=2"]), &parts, false).unwrap();
    quiet(&plan("bf16", &[]), &parts, true).unwrap();
    check_same(&whole, &parts);
    // The size of a file jumps with the last bit of a picture, and with it what is learnt from; how bright it is does not.
    let half = parent.path().join("half");
    for (plan, path) in [
        (plan("bf16", &["run.epochs=1"]), &half),
        (plan("f32", &["run.epochs=1", "train.gradient-checkpointing=true"]), &full),
    ] {
        run(&plan, path, false, |session| session.reward(MeanBrightness)).unwrap();
    }

    let [of_run, of_half, of_full] = [metrics(&whole), metrics(&half), metrics(&full)];
    assert_eq!([&of_half[0]["model"]["dtype"], &of_full[0]["model"]["dtype"]], ["bf16", "f32"]);
    let updates = || of_run.iter().filter(|line| line["kind"] == "update");
    let first: Vec<_> = updates().filter(|line| line["step"].as_u64().unwrap() % 2 == 1).collect();
    assert!(first.len() == 4 && first.iter().all(|line| line["ratio_max_deviation"] == 0.0), "{first:?}");
    // It rounds, and not by much: the first gradient is that of f32 to about a hundredth.
    let norm = |lines: &[serde_json::Value]| {
        lines.iter().find(|line| line["kind"] == "update").unwrap()["grad_norm"].as_f64().unwrap()
    };
    let (half, full) = (norm(&of_half), norm(&of_full));
    assert!(half != full && (half / full - 1.0).abs() < 0.1, "{half}, in f32 {full}");
}

#[test]
fn a_number_type_that_the_processor_does_not_multiply_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let plan = plan(&model, &["run.device=cpu", "model.dtype=f16"]);
    let error = quiet(&plan, &parent.path().join("run"), false).unwrap_err().to_string();
    assert_eq!(error, "invalid `model.dtype`: found f16, expected \"f32\" or \"bf16\" on the device `cpu`");
}

#[test]
fn a_run_of_the_score_function_resumes_to_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    let plan = |epochs: &str| plan(&model, &["train.algorithm=ddpo-sf", epochs]);
    quiet(&plan("run.epochs=4"), &whole, false).unwrap();
    quiet(&plan("run.epochs=2"), &parts, false).unwrap();
    quiet(&plan("run.epochs=4"), &parts, true).unwrap();
    check_same(&whole, &parts);
}

/// Listens for warnings.
#[derive(Clone, Default)]
struct Warnings(std::sync::Arc<std::sync::Mutex<Vec<String>>>);

impl Tracker for Warnings {
    fn name(&self) -> &str {
        "warnings"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        if let Event::Warning(warning) = event {
            self.0.lock().unwrap().push(warning.chain());
        }
        Ok(())
    }
}

#[test]
fn a_damaged_checkpoint_gives_way_with_a_warning_and_costs_no_byte() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    quiet(&plan(&model, &[]), &whole, false).unwrap();
    for part in ["state.safetensors", "manifest.json"] {
        let warnings = Warnings::default();
        quiet(&plan(&model, &["run.epochs=3"]), &parts, false).unwrap();
        std::fs::write(parts.join("checkpoints/epoch_0003").join(part), b"half of it").unwrap();
        run(&plan(&model, &[]), &parts, true, |session| session.tracker(warnings.clone())).unwrap();
        let warnings = warnings.0.lock().unwrap().clone();
        assert!(warnings.len() == 1 && warnings[0].contains("epoch_0003` is damaged: "), "{warnings:?}");
        check_same(&whole, &parts);
        std::fs::remove_dir_all(&parts).unwrap();
    }
}

#[test]
fn a_resume_without_a_checkpoint_says_that_it_starts_again() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, parts) = (parent.path().join("whole"), parent.path().join("parts"));
    quiet(&plan(&model, &[]), &whole, false).unwrap();
    quiet(&plan(&model, &["run.epochs=2"]), &parts, false).unwrap();
    std::fs::remove_dir_all(parts.join("checkpoints")).unwrap();
    let warnings = Warnings::default();
    run(&plan(&model, &[]), &parts, true, |session| session.tracker(warnings.clone())).unwrap();
    let warnings = warnings.0.lock().unwrap().clone();
    assert!(warnings[0].starts_with("there is no checkpoint in `"), "{warnings:?}");
    check_same(&whole, &parts);
}

#[test]
fn a_checkpoint_of_another_model_or_a_later_version_is_refused_and_kept() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    quiet(&plan(&model, &["run.epochs=1"]), &path, false).unwrap();
    let manifest = path.join("checkpoints/epoch_0001/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();

    // The same architecture with other weights.
    let weights = model.join("vae/diffusion_pytorch_model.safetensors");
    let (original, mut other) = (std::fs::read(&weights).unwrap(), std::fs::read(&weights).unwrap());
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, other).unwrap();
    let error = quiet(&plan(&model, &[]), &path, true).unwrap_err().to_string();
    assert!(error.starts_with("the checkpoint was trained from model `"), "{error}");
    std::fs::write(&weights, original).unwrap();

    std::fs::write(&manifest, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let error = quiet(&plan(&model, &[]), &path, true).unwrap_err().to_string();
    assert!(error.ends_with("has format 2, but this version reads formats up to 1"), "{error}");
    std::fs::write(&manifest, text).unwrap();
    quiet(&plan(&model, &[]), &path, true).unwrap();
}

/// Fails at everything, also at putting its records on the disk.
struct Broken;

impl Tracker for Broken {
    fn name(&self) -> &str {
        "broken"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        match event {
            Event::Progress(_) => Ok(()),
            _ => Err(ddpo::train::Error::Encoding("it is broken".into())),
        }
    }
}

#[test]
fn a_tracker_that_fails_costs_a_warning_and_no_byte() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let (whole, beside) = (parent.path().join("whole"), parent.path().join("beside"));
    quiet(&plan(&model, &[]), &whole, false).unwrap();
    let warnings = Warnings::default();
    run(&plan(&model, &[]), &beside, false, |session| session.tracker(Broken).tracker(warnings.clone())).unwrap();
    let warnings = warnings.0.lock().unwrap().clone();
    assert_eq!(warnings[0], "tracker `broken` failed: cannot encode a record: it is broken");
    check_same(&whole, &beside);
}

#[test]
fn a_run_stopped_anywhere_resumes_to_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let whole = parent.path().join("whole");
    quiet(&plan(&model, &[]), &whole, false).unwrap();
    for (i, (stage, epoch)) in
        [(Stage::Sampling, 1), (Stage::Training, 3), (Stage::Evaluating, 2)].into_iter().enumerate()
    {
        let path = parent.path().join(format!("stopped-{i}"));
        let flag = StopFlag::new();
        let stop_at = StopAt { stage, epoch, flag: flag.clone() };
        let outcome = run(&plan(&model, &[]), &path, false, |session| session.tracker(stop_at).stop(flag)).unwrap();
        assert!(matches!(outcome, TrainOutcome::Interrupted { .. }), "{stage:?}: {outcome:?}");
        quiet(&plan(&model, &[]), &path, true).unwrap();
        check_same(&whole, &path);
    }
}

#[test]
fn a_resume_that_does_not_fit_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    quiet(&plan(&model, &["run.epochs=1"]), &path, false).unwrap();
    let before = std::fs::read(path.join("config.toml")).unwrap();
    let error = quiet(&plan(&model, &["run.seed=7"]), &path, true).unwrap_err().to_string();
    assert_eq!(error, "setting `run.seed` is `7`, but the checkpoint was trained with `0`");
    assert!(std::fs::read(path.join("config.toml")).unwrap() == before);
}

#[test]
fn a_first_timestep_after_all_steps_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    let refused = |changes: &[&str]| quiet(&plan(&model, changes), &path, false).map(drop).unwrap_err();
    let message = refused(&["train.first-timestep=752"]).to_string();
    assert!(message.starts_with("invalid `train.first-timestep`: found 752, which leaves 0 of the steps at [751.0, "));
    let message = refused(&["train.first-timestep=502", "train.timestep-fraction=0.5"]).to_string();
    assert!(message.ends_with("expected enough steps for a share of 0.5 to be one"), "{message}");
    assert!(!path.exists());
}

#[test]
fn the_whole_unet_can_be_trained() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    let changes = ["train.parameters=full", "run.epochs=1", "train.learning-rate=1e-4", "train.algorithm=ddpo-sf"];
    quiet(&plan(&model, &changes), &path, false).unwrap();
    let loaded = LoadedModel::open(&plan(&model, &[]).model, plan(&model, &[]).device).unwrap();
    loaded.denoiser(&[ddpo::adapter::AdapterSource { path: path.clone(), strength: 1.0 }]).unwrap();
}

#[test]
fn reward_weighted_regression_resumes_to_the_same_bytes() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    for algorithm in ["rwr", "rwr-sparse"] {
        let (whole, parts) = (parent.path().join(algorithm), parent.path().join(format!("{algorithm}-parts")));
        let changes = |epochs| {
            [format!("train.algorithm={algorithm}"), format!("run.epochs={epochs}")]
                .into_iter()
                .chain(["rwr.batch-size=12", "rwr.updates-per-round=3", "rwr.min-count=2"].map(String::from))
                .collect::<Vec<_>>()
        };
        let plan = |epochs| plan(&model, &changes(epochs).iter().map(String::as_str).collect::<Vec<_>>());
        quiet(&plan(4), &whole, false).unwrap();
        quiet(&plan(2), &parts, false).unwrap();
        quiet(&plan(4), &parts, true).unwrap();
        check_same(&whole, &parts);
        let metrics = metrics(&whole);
        let steps = metrics.iter().filter(|line| line["kind"] == "regression").count();
        assert_eq!(steps, 4 * 3, "{algorithm}");
        assert!(whole.join("best").join(RunDirectory::LORA).is_file());
    }
}

#[test]
fn a_run_that_ends_itself_hands_back_the_best_state_within_its_limits() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let end_of = |name: &str, changes: &[&str]| {
        let run = parent.path().join(name);
        quiet(&plan(&model, &[&["run.epochs=4", "eval.every=1"], changes].concat()), &run, false).unwrap();
        let evals: Vec<_> = metrics(&run).into_iter().filter(|line| line["kind"] == "eval").collect();
        let page = std::fs::read_to_string(ddpo::report::write_report(&run).unwrap()).unwrap();
        let files = [run.join(RunDirectory::LORA), run.join("best").join(RunDirectory::LORA)];
        (evals, page, files.map(|file| std::fs::read(file).ok()))
    };
    // Whatever has moved is beyond this limit.
    let (evals, page, [product, best]) = end_of("stopped", &["eval.stop-kl=1e-12"]);
    assert_eq!((evals.len(), &evals[1]["product_epoch"]), (2, &serde_json::Value::from(0)));
    assert!(page.contains("The run has ended itself after epoch 1"), "{page}");
    assert!(product.is_some() && product == best);
    // Without a limit, the last state is the product, and where nobody keeps the best one, it is the product of any run.
    let (evals, page, [product, _]) = end_of("whole", &[]);
    assert_eq!((evals.len(), evals[4].get("product_epoch")), (5, None));
    assert!(!page.contains("ended itself"));
    let (evals, _, [last, none]) = end_of("stopped-without", &["eval.stop-kl=1e-12", "checkpoint.best=false"]);
    assert_eq!((evals.len(), evals[1].get("product_epoch"), none), (2, None, None));
    assert!(last.is_some() && last != product);
}

#[test]
fn the_forward_process_resumes_to_the_same_bytes_with_its_old_policy() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    for algorithm in ["nft", "ram"] {
        let (whole, parts) = (parent.path().join(algorithm), parent.path().join(format!("{algorithm}-parts")));
        let changes = |epochs| {
            [format!("train.algorithm={algorithm}"), format!("run.epochs={epochs}")]
                .into_iter()
                .chain(
                    ["forward.old-ramp=0.2", "forward.noisings=3", "train.gradient-checkpointing=true"]
                        .map(String::from),
                )
                .collect::<Vec<_>>()
        };
        let plan = |epochs| plan(&model, &changes(epochs).iter().map(String::as_str).collect::<Vec<_>>());
        quiet(&plan(4), &whole, false).unwrap();
        quiet(&plan(2), &parts, false).unwrap();
        quiet(&plan(4), &parts, true).unwrap();
        check_same(&whole, &parts);
        let metrics = metrics(&whole);
        let steps: Vec<_> = metrics.iter().filter(|line| line["kind"] == "correction").collect();
        assert_eq!(steps.len(), 4 * 2, "{algorithm}");
        // Before anything was learnt, the old policy is the policy and both are the base model.
        assert!(steps[0]["distance_to_old"] == 0.0 && steps[1]["distance_to_old"] != 0.0, "{:?}", steps[0]);
        assert_eq!(steps[0]["distance_to_base"], 0.0);
        assert!(whole.join("best").join(RunDirectory::LORA).is_file());
        let page = std::fs::read_to_string(ddpo::report::write_report(&whole).unwrap()).unwrap();
        assert!(page.contains("8 updates") && page.contains("Distance from the corrected targets"));
    }
    let error =
        quiet(&plan(&model, &["train.algorithm=nft", "train.first-timestep=1000"]), &parent.path().join("none"), false);
    let message = error.map(drop).unwrap_err().to_string();
    assert_eq!(message, "invalid `train.first-timestep`: found 1000, expected below 1000, the timesteps of the model");
}

#[test]
fn the_gradient_that_is_measured_is_that_of_the_first_update() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let loaded = LoadedModel::open(&plan(&model, &[]).model, DeviceName::Cpu).unwrap();
    for (algorithm, parts) in [("ddpo-is", 4), ("ddpo-sf", 4), ("pso", 4), ("rwr", 3), ("nft", 3), ("ram", 3)] {
        let algorithm = format!("train.algorithm={algorithm}");
        let plan = plan(&model, &[&algorithm, "run.epochs=1", "eval.every=0", "rwr.batch-size=12"]);
        let path = parent.path().join(&algorithm);
        quiet(&plan, &path, false).unwrap();
        let metrics = metrics(&path);
        let wanted = metrics.iter().find_map(|line| line["grad_norm"].as_f64()).unwrap();
        let (request, mut trackers) = (GradientRequest { batches: 2, bands: 3 }, Broadcast::new());
        let found = measure_gradient(&plan, &loaded, request, &mut trackers, &StopFlag::new()).unwrap();
        assert!((found.norms[0] / wanted - 1.0).abs() < 1e-4, "{algorithm}: {:?}, {wanted} wanted", found.norms);
        assert!((found.norms[1] / wanted - 1.0).abs() > 1e-4, "{algorithm}: {:?}", found.norms);
        assert_eq!(found.parts.len(), parts, "{algorithm}");
        let squares: f64 = found.norms.iter().map(|norm| norm * norm).sum();
        assert!((found.whole.norm - (squares / 2.0).sqrt()).abs() < 1e-9 * found.whole.norm);
    }
}

#[test]
fn a_deterministic_sampler_collects_for_the_forward_process() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    for algorithm in ["nft", "rwr"] {
        let path = parent.path().join(algorithm);
        let algorithm = format!("train.algorithm={algorithm}");
        let changes = [&algorithm, "sample.eta=0.0", "run.epochs=2", "rwr.batch-size=12"];
        quiet(&plan(&model, &changes), &path, false).unwrap();
        let metrics = metrics(&path);
        let evals: Vec<_> = metrics.iter().filter(|line| line["kind"] == "eval").collect();
        assert!(evals.len() == 2 && evals.iter().all(|eval| eval["kl_to_base"].is_null()), "{evals:?}");
        assert!(evals[1]["x0_distance"].as_f64().unwrap() > 0.0, "{evals:?}");
        let page = std::fs::read_to_string(ddpo::report::write_report(&path).unwrap()).unwrap();
        assert!(page.contains("Distance from the base model") && !page.contains("Divergence from the base model"));
    }
}

#[test]
fn pairs_resume_to_the_same_bytes_from_a_ratio_of_exactly_1() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let shares = ["pair_ties", "pair_accuracy", "pair_stranded"];
    for (algorithm, scheduler) in [("pso", "consistency"), ("d3po", "ddim")] {
        let (whole, parts) = (parent.path().join(algorithm), parent.path().join(format!("{algorithm}-parts")));
        let changes = |epochs| {
            [
                format!("train.algorithm={algorithm}"),
                format!("run.epochs={epochs}"),
                format!("sample.scheduler={scheduler}"),
            ]
            .into_iter()
            .chain(["sample.steps=3", "advantage.group-size=4", "sample.guidance=1.0"].map(String::from))
            .collect::<Vec<_>>()
        };
        let plan = |epochs| plan(&model, &changes(epochs).iter().map(String::as_str).collect::<Vec<_>>());
        quiet(&plan(4), &whole, false).unwrap();
        quiet(&plan(2), &parts, false).unwrap();
        quiet(&plan(4), &parts, true).unwrap();
        check_same(&whole, &parts);
        let metrics = metrics(&whole);
        let steps: Vec<_> = metrics.iter().filter(|line| line["kind"] == "update").collect();
        assert_eq!(steps.len(), 4 * plan(4).updates_per_epoch(), "{algorithm}");
        // Before anything was learnt the policy is what drew the samples, and the base model.
        let (first, ties) = (steps[0], steps[0]["pair_ties"].as_f64().unwrap());
        assert!(first["ratio_max_deviation"] == 0.0 && first["pair_accuracy"] == 0.0, "{first}");
        assert!((first["loss"].as_f64().unwrap() - (1.0 - ties) * 2f64.ln()).abs() < 1e-6, "{first}");
        assert!(steps.iter().all(|step| shares.iter().all(|share| step.get(share).is_some())), "{first}");
        assert!(steps[1..].iter().any(|step| step["pair_accuracy"].as_f64() > Some(0.0)), "{steps:?}");
        assert!(whole.join("best").join(RunDirectory::LORA).is_file());
    }
}

/// A file of pairs beside pictures of one colour each; a line is a prompt and the greys of the preferred picture and the other.
fn write_pairs(folder: &Path, lines: &[(&str, u8, u8)]) -> std::path::PathBuf {
    let name = |grey: u8| format!("{grey}.png");
    let line = |&(prompt, win, lose): &(&str, u8, u8)| {
        for grey in [win, lose] {
            // Another size than the model's, which they are brought to.
            let picture = ddpo::RgbImage::new(20, 20, vec![grey; 20 * 20 * 3]).unwrap();
            ddpo::images::write_png(&folder.join(name(grey)), &picture).unwrap();
        }
        format!("{}\n", serde_json::json!({ "prompt": prompt, "win": name(win), "lose": name(lose) }))
    };
    let path = folder.join("pairs.jsonl");
    std::fs::write(&path, lines.iter().map(line).collect::<String>()).unwrap();
    path
}

#[test]
fn given_pairs_resume_to_the_same_bytes_and_no_other_pairs_do() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let lines = [("a cat", 200, 50), ("a dog", 180, 60), ("a cat", 220, 40), ("a fish", 90, 10), ("a dog", 150, 149)];
    let file = write_pairs(parent.path(), &lines);
    for timesteps in ["all", "sampler"] {
        let (whole, parts) = (parent.path().join(timesteps), parent.path().join(format!("{timesteps}-parts")));
        let changes = |epochs| {
            let path = format!("pairs.path={}", file.display());
            [path, format!("run.epochs={epochs}"), format!("pairs.timesteps={timesteps}")]
                .into_iter()
                .chain(["train.algorithm=diffusion-dpo", "pairs.beta=50.0"].map(String::from))
                .collect::<Vec<_>>()
        };
        let plan = |epochs| plan(&model, &changes(epochs).iter().map(String::as_str).collect::<Vec<_>>());
        quiet(&plan(4), &whole, false).unwrap();
        quiet(&plan(2), &parts, false).unwrap();
        quiet(&plan(4), &parts, true).unwrap();
        check_same(&whole, &parts);
        let metrics = metrics(&whole);
        let steps: Vec<_> = metrics.iter().filter(|line| line["kind"] == "preference").collect();
        // Twelve pictures an epoch in batches of six.
        assert_eq!(steps.len(), 4 * 2, "{timesteps}");
        assert!((steps[0]["loss"].as_f64().unwrap() - 2f64.ln()).abs() < 1e-6 && steps[0]["pair_accuracy"] == 0.0);
        assert!(steps[1..].iter().any(|step| step["loss"] != steps[0]["loss"]), "{steps:?}");
        let epochs: Vec<_> = metrics.iter().filter(|line| line["kind"] == "epoch").collect();
        assert!(epochs.iter().all(|epoch| epoch["reward_mean"].is_null() && epoch["reward_queries"] == 0));
        assert!(whole.join("best").join(RunDirectory::LORA).is_file());
        let page = std::fs::read_to_string(ddpo::report::write_report(&whole).unwrap()).unwrap();
        assert!(page.contains("8 updates") && page.contains("Loss of the pairs"));
    }
    let changes = [format!("pairs.path={}", file.display()), "run.epochs=6".into(), "pairs.beta=50.0".into()];
    let changes: Vec<&str> = changes.iter().map(String::as_str).chain(["train.algorithm=diffusion-dpo"]).collect();
    // The same file with other pictures is another run.
    write_pairs(parent.path(), &[("a cat", 200, 50), ("a dog", 180, 60), ("a cat", 220, 41)]);
    let message = quiet(&plan(&model, &changes), &parent.path().join("all"), true).map(drop).unwrap_err().to_string();
    assert!(message.contains("pairs"), "{message}");
    // A picture that is no picture is named by its line, before there is a directory.
    std::fs::write(parent.path().join("60.png"), "none").unwrap();
    let error = quiet(&plan(&model, &changes), &parent.path().join("none"), false).map(drop).unwrap_err();
    assert!(error.to_string().ends_with("pairs.jsonl, line 2") && !parent.path().join("none").exists(), "{error}");
}

#[test]
fn a_distillation_resumes_to_the_same_bytes_with_its_target_and_asks_no_reward() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    for parameters in ["lora", "full"] {
        let (whole, parts) = (parent.path().join(parameters), parent.path().join(format!("{parameters}-parts")));
        let changes = |epochs| {
            [format!("train.parameters={parameters}"), format!("run.epochs={epochs}")]
                .into_iter()
                .chain(
                    [
                        "train.algorithm=lcd",
                        "sample.scheduler=consistency",
                        "sample.spacing=trailing",
                        "sample.steps=2",
                        "sample.guidance=1.0",
                        "distill.teacher-steps=3",
                        "distill.grid=10",
                        "train.learning-rate=1e-3",
                    ]
                    .map(String::from),
                )
                .collect::<Vec<_>>()
        };
        let plan = |epochs| plan(&model, &changes(epochs).iter().map(String::as_str).collect::<Vec<_>>());
        quiet(&plan(4), &whole, false).unwrap();
        quiet(&plan(2), &parts, false).unwrap();
        quiet(&plan(4), &parts, true).unwrap();
        let metrics = metrics(&whole);
        let steps: Vec<_> = metrics.iter().filter(|line| line["kind"] == "distillation").collect();
        assert_eq!(steps.len(), 4 * 2, "{parameters}");
        assert!(steps.iter().all(|step| step["distance_to_target"].as_f64() > Some(0.0)), "{steps:?}");
        let epochs: Vec<_> = metrics.iter().filter(|line| line["kind"] == "epoch").collect();
        assert!(epochs.iter().all(|epoch| epoch["reward_mean"].is_null() && epoch["reward_queries"] == 0));
        if parameters == "lora" {
            check_same(&whole, &parts);
            let page = std::fs::read_to_string(ddpo::report::write_report(&whole).unwrap()).unwrap();
            assert!(page.contains("8 updates") && page.contains("Distance of the guesses from their targets"));
        } else {
            assert!(whole.join(RunDirectory::MODEL).join("model_index.json").is_file());
            let unet = |run: &Path| {
                let file = "unet/diffusion_pytorch_model.safetensors";
                std::fs::read(run.join(RunDirectory::MODEL).join(file)).unwrap()
            };
            assert!(unet(&whole) == unet(&parts));
        }
    }
}

#[test]
fn the_base_models_own_posterior_is_a_reward() {
    let parent = tempfile::tempdir().unwrap();
    let model = common::tiny_model(parent.path());
    let path = parent.path().join("run");
    let changes = [
        "reward=diffusion-classifier",
        "eval.held-out=[\"jpeg-compressibility\"]",
        "reward.trials=2",
        "run.epochs=1",
        "train.kl-weight=0.1",
    ];
    quiet(&plan(&model, &changes), &path, false).unwrap();
    let metrics = metrics(&path);
    let epoch = metrics.iter().find(|line| line["kind"] == "epoch").unwrap();
    assert!(epoch["reward_mean"].as_f64().unwrap() < 0.0 && epoch["reward_std"].as_f64().unwrap() > 0.0, "{epoch}");
    let update = metrics.iter().find(|line| line["kind"] == "update").unwrap();
    assert_eq!(update["kl_to_base"], 0.0);
}

#[test]
fn pictures_of_any_size_are_classified_alone() {
    let parent = tempfile::tempdir().unwrap();
    let plan = plan(&common::tiny_model(parent.path()), &[]);
    let loaded = LoadedModel::open(&plan.model, plan.device).unwrap();
    let picture = |side: u32, byte: u8| {
        let bytes = (0..side * side * 3).map(|i| byte.wrapping_mul(i as u8)).collect();
        ddpo::core::RgbImage::new(side, side, bytes).unwrap()
    };
    let request = ddpo::ClassifyRequest {
        classes: ["a cat", "a dog", "a horse"].map(String::from).to_vec(),
        trials: 4,
        first_timestep: 0,
        full: true,
        seed: 0,
        batch_size: 5,
    };
    let of = |images: &[ddpo::core::RgbImage]| {
        ddpo::classify(&loaded, images, &request, &StopFlag::new(), &mut |_, _| {}).unwrap()
    };
    let (a, b) = (picture(16, 3), picture(40, 7));
    let both = of(&[a.clone(), b.clone()]);
    assert_eq!(both, [of(&[a]), of(&[b])].concat());
    assert_eq!(both[0].cost(), 12);
}

#[test]
fn a_trace_has_every_number() {
    let parent = tempfile::tempdir().unwrap();
    let plan = plan(&common::tiny_model(parent.path()), &[]);
    let loaded = LoadedModel::open(&plan.model, plan.device).unwrap();
    let request = ddpo::SampleRequest {
        prompts: vec!["a cat".into(), "a dog".into()],
        count: 2,
        sampler: SamplerPlan { steps: 3, ..plan.config.sample.sampler() },
        guidance: 2.0,
        negative_prompt: String::new(),
        seed: 1,
        batch_size: 3,
        size: [None; 2],
    };
    let denoiser = loaded.denoiser(&[]).unwrap();
    let sampled = ddpo::sample(&loaded, &*denoiser, &request, &StopFlag::new(), &mut |_, _| {}).unwrap();
    let path = parent.path().join("trace.safetensors");
    sampled.write_trace(&path, &request).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let trace = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let shape = |name: &str| trace.tensor(name).unwrap().shape().to_vec();
    assert_eq!(shape("latents"), [4, 4, 4, 4, 4]);
    assert_eq!(shape("timesteps"), [3]);
    assert_eq!(shape("log_probs"), [4, 3]);
    assert_eq!(shape("prompt_embeds"), [4, 8, 16]);
    assert_eq!(shape("negative_prompt_embeds"), [4, 8, 16]);
    assert_eq!(shape("images"), [4, 3, 16, 16]);
}
