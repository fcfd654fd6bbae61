//! `ddpo gradient`.

use std::path::Path;

use anyhow::Result;
use ddpo::config::{Layers, RunPlan};
use ddpo::core::gradient::{Estimate, GradientStatistics};
use ddpo::images::write_text;
use ddpo::train::{Broadcast, Event, Progress, Stage, TimestepRange, Tracker};
use ddpo::{GradientMeasurement, GradientRequest, OpenOptions, Product, RunDirectory, measure_gradient};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::args::{Gradient, Train};
use crate::interrupt::stop_on_signal;
use crate::numbers::{counted, grouped};
use crate::progress::{fetch_networks, line, open_model, stage_bar};

use super::train;

/// Samples some epochs of a run's configuration and says what the gradients of their first updates have in common.
pub fn run(args: &Gradient) -> Result<()> {
    let plan = RunPlan::new(layers(args)?.resolve()?.with_absolute_paths())?;
    ddpo::device::set_threads(plan.config.run.threads);
    let loaded = open_model(&plan.model, OpenOptions::of(&plan))?;
    fetch_networks(plan.optimised().into_iter().flatten().map(|term| &term.reward))?;
    let stop = stop_on_signal("stopping at the next step")?;
    let request = GradientRequest { batches: args.batches, bands: args.bands };
    let mut trackers = Broadcast::new().with(Bars::new(args.batches));
    let measured = measure_gradient(&plan, &loaded, request, &mut trackers, &stop)?;
    drop(trackers);
    line(&heading(&plan, &measured));
    table(&plan, &measured).iter().for_each(|row| line(row));
    if let Some(path) = &args.json {
        write_text(path, &(serde_json::to_string_pretty(&to_json(&plan, &measured))? + "\n"))?;
    }
    Ok(())
}

/// The configuration: that of the command line, over that of a run, whose product is where training would go on from.
fn layers(args: &Gradient) -> Result<Layers> {
    let of_run = args.run.as_deref().map(RunDirectory::of_product);
    let mut layers = train::layers(&configuration(args), of_run)?;
    if let Some(run) = &args.run {
        start_from(&mut layers, run)?;
    }
    Ok(layers)
}

fn start_from(layers: &mut Layers, run: &Path) -> Result<()> {
    let (key, path) = match Product::find(run)? {
        Product::Adapter(path) => ("lora.path", path),
        Product::Model(path) => ("model.path", path),
    };
    Ok(layers.push_value(&format!("--run {}", run.display()), key, path.display().to_string())?)
}

/// What the command says of a run's configuration, as `ddpo train` takes it.
fn configuration(args: &Gradient) -> Train {
    Train {
        config: args.config.clone(),
        preset: args.preset.clone(),
        model: args.model.clone(),
        model_config: args.model_config.clone(),
        algorithm: args.algorithm.clone(),
        reward: args.reward.clone(),
        prompts: args.prompts.clone(),
        lora: args.lora.clone(),
        embedding: args.embedding.clone(),
        device: args.device.clone(),
        dtype: args.dtype.clone(),
        seed: args.seed,
        set: args.set.clone(),
        ..Train::default()
    }
}

/// What was measured, in a line.
fn heading(plan: &RunPlan, measured: &GradientMeasurement) -> String {
    let reward = measured.rewards.iter().sum::<f64>() / measured.rewards.len().max(1) as f64;
    // The first epoch is the first task's.
    let task = plan.tasks.first().map(|task| format!(" on the task {}", task.name)).unwrap_or_default();
    format!(
        "the first update of {}{task} at {}: {} parameters, {} of {}, {} an update, mean reward {reward:.3}; 95 % intervals",
        plan.config.train.algorithm,
        plan.config.lora.path.as_deref().unwrap_or(&plan.model.short_name()),
        grouped(measured.parameters as u64),
        counted(measured.rewards.len(), "epoch"),
        counted(plan.samples_per_epoch, "image"),
        counted(plan.images_per_update(), "image"),
    )
}

fn table(plan: &RunPlan, measured: &GradientMeasurement) -> Vec<String> {
    let columns = |name: &str, rows: &str, norm: &str, cosine: &str, noise: &str| {
        format!("{name:>20}  {rows:>7}  {norm:>10}  {cosine:>24}  {noise}").trim_end().to_owned()
    };
    let row = |name: &str, rows: f64, found: &GradientStatistics| {
        columns(name, &format!("{rows:.0}"), &format!("{:.3e}", found.norm), &cosine(found), &noise_to_signal(found))
    };
    let what = if plan.config.train.algorithm.needs_likelihood() { "step from timestep" } else { "timesteps" };
    let rows = measured.parts.iter().map(|part| part.rows).sum();
    std::iter::once(columns(what, "rows", "norm", "cosine", "noise to signal"))
        .chain(measured.parts.iter().map(|part| row(&timesteps(part.timesteps), part.rows, &part.statistics)))
        .chain([row("all", rows, &measured.whole)])
        .collect()
}

/// `801`, or `700 to 799`.
fn timesteps(range: TimestepRange) -> String {
    match range.least == range.greatest {
        true => format!("{:.0}", range.least),
        false => format!("{:.0} to {:.0}", range.least, range.greatest),
    }
}

fn cosine(found: &GradientStatistics) -> String {
    let Estimate { mean, interval } = found.cosine;
    let interval = interval.map(|[low, high]| format!(" ({low:.3} to {high:.3})")).unwrap_or_default();
    format!("{mean:.3}{interval}")
}

/// `66 (40 to 210)`; above any number where no signal was found.
fn noise_to_signal(found: &GradientStatistics) -> String {
    let number = |value: f64| if value.is_finite() { two_digits(value) } else { "∞".to_owned() };
    let interval = found.noise_to_signal_interval();
    let interval = interval.map(|[low, high]| format!(" ({} to {})", number(low), number(high))).unwrap_or_default();
    format!("{}{interval}", number(found.noise_to_signal()))
}

fn two_digits(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn to_json(plan: &RunPlan, measured: &GradientMeasurement) -> Value {
    let parts = measured.parts.iter().map(|part| {
        let mut object = statistics_json(&part.statistics);
        object["timesteps"] = json!([part.timesteps.least, part.timesteps.greatest]);
        object["rows"] = json!(part.rows);
        object
    });
    json!({
        "algorithm": plan.config.train.algorithm,
        "model": plan.config.model.path,
        "adapter": plan.config.lora.path,
        "reward": plan.config.task.first().and_then(|task| task.reward.as_ref()).unwrap_or(&plan.config.reward),
        "seed": plan.config.run.seed,
        "images_per_epoch": plan.samples_per_epoch,
        "images_per_update": plan.images_per_update(),
        "parameters": measured.parameters,
        "reward_means": measured.rewards,
        "norms": measured.norms,
        "whole": statistics_json(&measured.whole),
        "parts": parts.collect::<Vec<_>>(),
    })
}

/// What is infinite is null.
fn statistics_json(found: &GradientStatistics) -> Value {
    json!({
        "batches": found.batches,
        "norm": found.norm,
        "cosine": found.cosine.mean,
        "cosine_interval_95": found.cosine.interval,
        "signal": found.signal,
        "noise": found.noise,
        "noise_to_signal": found.noise_to_signal(),
        "noise_to_signal_interval_95": found.noise_to_signal_interval(),
    })
}

/// A bar for each stage of each epoch, and warnings.
struct Bars {
    batches: usize,
    /// Epochs begun.
    begun: usize,
    bar: Option<(Stage, ProgressBar)>,
}

impl Bars {
    fn new(batches: usize) -> Self {
        Self { batches, begun: 0, bar: None }
    }

    fn progress(&mut self, progress: Progress) {
        if self.bar.as_ref().is_none_or(|(stage, _)| *stage != progress.stage) {
            self.clear();
            self.begun += usize::from(progress.stage == Stage::Sampling);
            let what = match progress.stage {
                Stage::Sampling => "sampling",
                Stage::Scoring => "scoring",
                _ => "gradient",
            };
            let name = format!("{}/{} {what}", self.begun, self.batches);
            self.bar = Some((progress.stage, stage_bar(name, progress.total)));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(progress.done as u64);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Tracker for Bars {
    fn name(&self) -> &str {
        "bars"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo::train::Result<()> {
        match event {
            Event::Progress(progress) => self.progress(*progress),
            Event::Warning(error) => {
                self.clear();
                eprintln!("warning: {error}");
            }
            _ => {}
        }
        Ok(())
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_found_has_no_number() {
        let share = Estimate { mean: 0.1, interval: Some([-0.05, 0.25]) };
        let cosine = Estimate { mean: 0.0987, interval: Some([-0.0512, 0.25]) };
        let found = GradientStatistics { batches: 8, norm: 1.0, cosine, signal: 0.1, noise: 0.9, signal_share: share };
        assert_eq!(super::cosine(&found), "0.099 (-0.051 to 0.250)");
        assert_eq!(noise_to_signal(&found), "9.0 (3.0 to ∞)");
        let nothing = Estimate { mean: -0.1, interval: None };
        assert_eq!(noise_to_signal(&GradientStatistics { signal_share: nothing, ..found }), "∞");
    }

    #[test]
    fn a_step_has_one_timestep_and_a_band_two() {
        assert_eq!(timesteps(TimestepRange { least: 801.0, greatest: 801.0 }), "801");
        assert_eq!(timesteps(TimestepRange { least: 0.0, greatest: 99.0 }), "0 to 99");
    }
}
