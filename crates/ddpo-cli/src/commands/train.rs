//! `ddpo train`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use ddpo::config::{AlgorithmPlan, Layers, Preset, RunPlan};
use ddpo::report::{Records, Verdict};
use ddpo::train::Ranks;
use ddpo::{ComputeRate, CostEstimate, LoadedModel, OpenOptions, RunDirectory, RunPrompts, Session, TrainOutcome};

use crate::announcement::announce;
use crate::args::{Command, Train};
use crate::failure;
use crate::interrupt::stop_on_signal;
use crate::numbers::counted;
use crate::progress::{
    Console, announce_networks, be_quiet, fetch_networks, line, open_model, warn, warn_of_truncations,
};
use crate::run_name::run_name;
use crate::summary;

/// Where runs go when no directory is named.
const RUNS: &str = "runs";

/// Where a run's records are in its directory.
const METRICS: &str = "metrics.jsonl";

/// Trains, or goes on training, as one of several processes where a launcher has started them. A run that was interrupted is not
/// done, and its exit code says so.
pub fn run(args: &Train) -> Result<ExitCode> {
    let ranks = ddpo::launch::ranks()?;
    if !ranks.is_first() {
        be_quiet();
    }
    match train(args, &ranks).inspect_err(|error| ranks.leave(error.as_ref())) {
        // Which rank it was and what it said, that rank and the first one say.
        Err(error) if !ranks.is_first() && is_of_another_rank(&error) => Ok(ExitCode::FAILURE),
        // While the ranks are together: the launcher ends the others as soon as one has failed.
        Err(error) if !ranks.is_alone() => Ok(failure::show(&error, &Command::Train(args.clone()))),
        outcome => outcome,
    }
}

fn is_of_another_rank(error: &anyhow::Error) -> bool {
    use ddpo::train::Error::Rank;
    // A transparent wrapper is not in the chain of what it wraps.
    matches!(error.downcast_ref(), Some(ddpo::Error::Train(Rank { .. })))
        || matches!(error.downcast_ref(), Some(Rank { .. }))
}

fn train(args: &Train, ranks: &Ranks) -> Result<ExitCode> {
    let resumed = resumed(args)?;
    let mut plan = RunPlan::new(layers(args, resumed)?.resolve()?.with_absolute_paths())?;
    plan.device = ddpo::launch::device(plan.device);
    let path = resumed.or(args.run_dir.as_deref()).map_or_else(|| free_directory(args, &plan), Path::to_owned);
    if resumed.is_none() && ranks.is_first() {
        RunDirectory::check_new(&path)?;
    }
    ddpo::device::set_threads(ddpo::launch::threads(plan.config.run.threads));
    let loaded = open_model(&plan.model, OpenOptions::of(&plan))?;
    if args.dry_run {
        dry_run(&plan, &loaded, &path)?;
        // Or else the ranks that could not do it would wait for this one.
        ranks.finish()?;
        return Ok(ExitCode::SUCCESS);
    }
    fetch_networks(plan.rewards())?;
    let session = match resumed {
        Some(_) => Session::resume(plan.clone(), &path),
        None => Session::create(plan.clone(), &path),
    };
    // A run that was killed at once has no records yet, and says again what it is.
    let described = Records::read(&path.join(METRICS)).ok().and_then(|records| records.run);
    let console = ranks.is_first().then(|| Console::new(plan.config.run.epochs, described));
    let stop = stop_on_signal("finishing this step and writing a checkpoint")?;
    let session = session.model(loaded).stop(stop).ranks(ranks.clone());
    let session = match console {
        Some(console) => session.tracker(console).open()?,
        None => session.open()?,
    };
    let prompts = session.prompts();
    let cost = CostEstimate::new(&plan, session.model(), ComputeRate::of(session.model())?)?;
    announce(&plan, session.run_prompts(), &path, &cost);
    if resumed.is_some() {
        line(&going_on(session.epochs_done(), plan.config.run.epochs as u64));
    }
    let negative = &plan.config.sample.negative_prompt;
    let reading = session.model().reading(plan.config.sample.prompt_syntax);
    warn_of_truncations(&reading, prompts.training.texts.iter().chain(&prompts.evaluation.texts).chain([negative]))?;
    match session.run()? {
        TrainOutcome::Finished { product, report } => {
            if ranks.is_first() {
                summarise(&path)?;
            }
            line(&format!("product: {product}\nreport:  {}", report.display()));
            Ok(ExitCode::SUCCESS)
        }
        TrainOutcome::Interrupted { epochs_done } => {
            line(&format!("stopped after {epochs_done} of {} epochs", plan.config.run.epochs));
            line(&format!("to go on: ddpo train --resume {}", path.display()));
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Where a resumed run goes on.
fn going_on(done: u64, epochs: u64) -> String {
    match done {
        0 => "goes on  from the beginning".to_owned(),
        _ if done >= epochs => {
            format!("already finished after {}; --epochs M goes on", counted(done as usize, "epoch"))
        }
        _ => format!("goes on  after epoch {done} of {epochs}"),
    }
}

/// Says what would be done, as far as that is known without doing it.
fn dry_run(plan: &RunPlan, loaded: &LoadedModel, path: &Path) -> Result<()> {
    let prompts = RunPrompts::load(plan)?;
    loaded.check(plan)?;
    loaded.check_files(plan)?;
    plan.rewards().try_for_each(|reward| reward.check_files())?;
    loaded.check_rewards(plan, &prompts)?;
    announce(plan, &prompts, path, &CostEstimate::new(plan, loaded, ComputeRate::of(loaded)?)?);
    announce_networks(plan.rewards())?;
    Ok(())
}

/// What the run has come to, and the warnings.
fn summarise(path: &Path) -> Result<()> {
    let records = Records::read(&path.join(METRICS))?;
    summary::lines(&records).iter().for_each(|text| line(text));
    Verdict::of(&records).warnings.iter().for_each(|warning| warn(&warning.to_string()));
    Ok(())
}

/// The run to go on with, if there is one to go on with.
fn resumed(args: &Train) -> Result<Option<&Path>> {
    let invalid = |found: &str, expected: &str| {
        Err(ddpo::Error::InvalidOption { key: "--resume", found: found.into(), expected: expected.into() }.into())
    };
    match (&args.resume, &args.run_dir) {
        (None, _) => Ok(None),
        (Some(None), None) => invalid("no run", "the run's directory: --resume RUN"),
        (Some(Some(run)), Some(directory)) if run != directory => {
            invalid("two directories", "the run's directory once: --resume RUN")
        }
        (Some(Some(run)), _) | (Some(None), Some(run)) => Ok(Some(run)),
    }
}

/// A directory for a new run that nobody named.
fn free_directory(args: &Train, plan: &RunPlan) -> PathBuf {
    let aim = match plan.algorithm {
        AlgorithmPlan::Distillation(_) => format!("{}-steps", plan.config.sample.steps),
        _ if !plan.tasks.is_empty() => plan.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join("-"),
        _ => plan.reward.first().map_or("reward", |term| term.reward.name()).to_owned(),
    };
    let name = run_name(args.name.as_deref(), args.config.as_deref(), &plan.model.short_name(), &aim);
    RunDirectory::next_free(Path::new(RUNS), &name)
}

/// Everything the command says, in order of precedence.
pub(super) fn layers(args: &Train, resumed: Option<&Path>) -> Result<Layers> {
    let mut layers = Layers::default();
    if let Some(name) = &args.preset {
        layers.push_preset(Preset::find(name)?)?;
    }
    if let Some(directory) = resumed {
        let origin = directory.join(RunDirectory::CONFIG).display().to_string();
        layers.push_resolved(&origin, &RunDirectory::read_config(directory)?)?;
    }
    if let Some(path) = &args.config {
        layers.push_toml(&path.display().to_string(), &ddpo::images::read_text(path)?)?;
    }
    push_options(&mut layers, args)?;
    args.set.iter().try_for_each(|assignment| layers.push_assignment(assignment))?;
    Ok(layers)
}

fn push_options(layers: &mut Layers, args: &Train) -> Result<()> {
    let texts = [
        ("--model", "model.path", &args.model),
        ("--model-config", "model.config", &args.model_config),
        ("--algorithm", "train.algorithm", &args.algorithm),
        ("--device", "run.device", &args.device),
        ("--dtype", "model.dtype", &args.dtype),
        ("--lora-format", "lora.format", &args.lora_format),
    ];
    for (option, key, value) in texts {
        if let Some(value) = value {
            layers.push_value(&format!("{option} {value}"), key, value.as_str())?;
        }
    }
    if let Some(reward) = &args.reward {
        layers.push_reward(&format!("--reward {reward}"), reward)?;
    }
    for (option, key, value) in [("--epochs", "run.epochs", args.epochs), ("--seed", "run.seed", args.seed)] {
        if let Some(value) = value {
            layers.push_value(&format!("{option} {value}"), key, i64::try_from(value)?)?;
        }
    }
    if !args.lora.is_empty() {
        layers.push_value(&format!("--lora {}", args.lora.join(" --lora ")), "lora.frozen", args.lora.clone())?;
    }
    if !args.embedding.is_empty() {
        let origin = format!("--embedding {}", args.embedding.join(" --embedding "));
        layers.push_value(&origin, "model.embeddings", args.embedding.clone())?;
    }
    if let Some(prompts) = &args.prompts {
        push_prompts(layers, prompts)?;
    }
    Ok(())
}

/// `--prompts` replaces all that earlier layers say of prompts: a kind, or else a file.
fn push_prompts(layers: &mut Layers, prompts: &str) -> Result<()> {
    let origin = format!("--prompts {prompts}");
    layers.clear_section("prompts");
    if ddpo::prompts::PromptSource::named(prompts).is_ok() {
        return Ok(layers.push_value(&origin, "prompts.kind", prompts)?);
    }
    // What looks like a file name is one; anything else gets the list of kinds.
    if Path::new(prompts).exists() || prompts.contains(['/', '.', '\\']) {
        layers.push_value(&origin, "prompts.kind", "from-file")?;
        return Ok(layers.push_value(&origin, "prompts.path", prompts)?);
    }
    ddpo::prompts::PromptSource::named(prompts)?;
    Ok(())
}
