//! What `ddpo train` says before it starts: the plan in words, and what it will cost.

use std::path::Path;
use std::time::Duration;

use ddpo::config::{RewardTerm, RunPlan, TaskPlan};
use ddpo::device::DeviceName;
use ddpo::prompts::PromptSplit;
use ddpo::{CostEstimate, RunPrompts};

use crate::numbers::{about, bytes, counted, grouped};
use crate::progress::{line, warn};

/// Multiply-adds of a UNet pass from where on a GPU is what people use. Stable Diffusion's has 400 G, the embedded model's 0.08 G.
const LARGE: u64 = 50_000_000_000;

/// A run of more than this is warned of.
const LONG: Duration = Duration::from_hours(72);

/// Prints the plan and its cost, and warns of a run of days.
pub fn announce(plan: &RunPlan, prompts: &RunPrompts, path: &Path, cost: &CostEstimate) {
    let config = &plan.config;
    let device = plan.device.resolve();
    let slow = device == DeviceName::Cpu && cost.pass >= LARGE;
    let hint = if slow { " (a build for a GPU is faster: docs/guide/devices.md)" } else { "" };
    let model = format!("{} on {device}{hint}, {} {}", plan.model, config.train.parameters, config.train.algorithm);
    let mut rows = vec![("run", path.display().to_string()), ("model", model)];
    match plan.tasks.as_slice() {
        [] => rows.extend([("reward", reward(&plan.reward)), ("prompts", prompts_in_words(prompts.all()))]),
        tasks => {
            let described = tasks.iter().zip(prompts.tasks()).enumerate();
            rows.extend(
                described.map(|(number, (task, prompts))| ("task", task_in_words(plan, number, task, prompts))),
            );
        }
    }
    rows.extend([
        ("epoch", epoch(plan)),
        ("work", work(cost)),
        ("time", time(plan, cost)),
        ("memory", format!("about {}", bytes(cost.memory))),
    ]);
    rows.iter().for_each(|(name, text)| line(&format!("{name:8} {text}")));
    if cost.total() > LONG {
        warn(&format!(
            "this run takes {} on this machine, by the estimate; fewer epochs (--epochs), images (sample.batches-per-epoch, \
             eval.count) and steps (sample.steps), and smaller images (sample.height, sample.width) take less",
            about(cost.total())
        ));
    }
}

/// A task: its name, its reward, its prompts, and how many of the run's epochs are its own.
fn task_in_words(plan: &RunPlan, number: usize, task: &TaskPlan, prompts: &PromptSplit) -> String {
    let (epochs, tasks) = (plan.config.run.epochs, plan.tasks.len());
    let own = epochs / tasks + usize::from(number < epochs % tasks);
    let (name, reward, prompts) = (&task.name, reward(&task.reward), prompts_in_words(prompts));
    format!("{name}: {reward}; prompts: {prompts}; {own} of {}", counted(epochs, "epoch"))
}

fn reward(terms: &[RewardTerm]) -> String {
    let terms = terms.iter().map(|term| match term.weight {
        1.0 => term.reward.to_string(),
        weight => format!("{weight}*{}", term.reward),
    });
    terms.collect::<Vec<_>>().join(" + ")
}

fn prompts_in_words(prompts: &PromptSplit) -> String {
    let repeated = match prompts.repeated() {
        0 => String::new(),
        count => format!(" ({count} of them listed before, and drawn more often)"),
    };
    let evaluation = match (prompts.disjoint, prompts.evaluation.len()) {
        (true, count) => format!("{count} held out"),
        (false, _) if prompts.evaluation == prompts.training => {
            "too few to hold any out: evaluation shares them, with other seeds".into()
        }
        (false, count) => format!("{count} to evaluate on, some of which another task trains on"),
    };
    format!("{} to train on{repeated}, {evaluation}", prompts.training.len())
}

fn epoch(plan: &RunPlan) -> String {
    let sample = &plan.config.sample;
    format!(
        "{} of {} at guidance {}, {} of {}",
        counted(plan.samples_per_epoch, "image"),
        counted(sample.steps, "step"),
        sample.guidance,
        counted(plan.updates_per_epoch(), "update"),
        counted(plan.images_per_update(), "image"),
    )
}

fn work(cost: &CostEstimate) -> String {
    format!(
        "an epoch: {} passes through the UNet to sample and {} to train, each of {} multiply-adds",
        grouped(cost.sampled_passes),
        grouped(cost.trained_passes),
        multiply_adds(cost.pass),
    )
}

fn multiply_adds(count: u64) -> String {
    let giga = count as f64 / 1e9;
    if giga < 0.95 { format!("{:.0} M", 1e3 * giga) } else { format!("{giga:.0} G") }
}

/// A program of the user's own takes what it takes.
fn time(plan: &RunPlan, cost: &CostEstimate) -> String {
    let mut terms = plan.optimised().into_iter().flatten();
    let own = terms.any(|term| term.reward.to_string().starts_with("exec:"));
    let without = if own { ", without what your reward takes" } else { "" };
    format!(
        "{} an epoch (sampling {}, training {}), {} in all{without}; estimated",
        about(cost.epoch()),
        about(cost.sampling).trim_start_matches("about "),
        about(cost.training).trim_start_matches("about "),
        about(cost.total()),
    )
}
