//! The frontier of an experiment: how much reward each line gains while its pictures stay what was asked for.
//!
//! A run's points are its evaluations, and its product at several strengths: between the base model and the product there are
//! models that were never trained. The best point with enough pictures as asked for is what counts, whatever epoch and strength
//! it is from. Beside the lines stands what costs no training at all: the best of n pictures of the base model.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use ddpo::adapter::AdapterSource;
use ddpo::prompts::PromptSplit;
use ddpo::report::{Estimate, Records};
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, MeasureRequest, Measurement, RunPlan, measure};

use crate::experiment::{Experiment, Frontier, Part};
use crate::runs::{Line, configuration};
use crate::statistics::{Point, gain, queries};

/// Where a run's points at other strengths are kept, so that they are measured once.
const KEPT: &str = "frontier.json";

/// The points of a run: its evaluations, the base model's first, then its product at each strength.
pub fn points(records: &Records, run: &Path, frontier: &Frontier) -> Result<Vec<Point>, Box<dyn Error>> {
    let of_eval = |eval: &ddpo::train::EvalRecord| {
        let queries = queries(records, eval.epoch);
        Some(Point { queries, scale: 1.0, reward: eval.reward_mean, as_asked: eval.as_asked? })
    };
    let mut points: Vec<Point> = records.evals.iter().filter_map(of_eval).collect();
    let Some(last) = points.last().copied() else { return Ok(points) };
    let path = run.join(KEPT);
    let mut kept: BTreeMap<String, Point> = match std::fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)?,
        Err(_) => BTreeMap::new(),
    };
    let missing: Vec<f64> = frontier.scales.iter().copied().filter(|scale| !kept.contains_key(&key(*scale))).collect();
    if !missing.is_empty() {
        let plan = RunPlan::new(configuration(run)?)?;
        let loaded = LoadedModel::open(&plan.model, plan.device)?;
        for scale in missing {
            let measured = measured(&plan, &loaded, &[AdapterSource { path: run.to_owned(), strength: scale }], 1)?;
            let (reward, as_asked) = (mean(&rewards(&plan, &measured)), share(&measured.as_asked.unwrap_or_default()));
            kept.insert(key(scale), Point { queries: last.queries, scale, reward, as_asked });
            std::fs::write(&path, serde_json::to_string_pretty(&kept)?)?;
        }
    }
    points.extend(frontier.scales.iter().filter_map(|scale| kept.get(&key(*scale))));
    Ok(points)
}

fn key(scale: f64) -> String {
    format!("{scale}")
}

/// The best of so many pictures of the base model, as points of a task.
pub fn best_of(experiment: &Experiment, task: &Part, counts: &[usize]) -> Result<Vec<Point>, Box<dyn Error>> {
    let (Some(most), Some(variant)) = (counts.iter().max(), experiment.variants.first()) else { return Ok(Vec::new()) };
    let plan = RunPlan::new(experiment.config(task, variant, toml::Table::new())?)?;
    let loaded = LoadedModel::open(&plan.model, plan.device)?;
    let measured = measured(&plan, &loaded, &[], *most)?;
    let (rewards, verdicts) = (rewards(&plan, &measured), measured.as_asked.unwrap_or_default());
    // Picture i has the prompt i modulo their number, so that those of a block are of the same prompts as those of another.
    let block = rewards.len() / most;
    let choice = |count: usize| {
        let chosen: Vec<usize> = (0..block)
            .filter_map(|row| {
                let candidates = (0..count).map(|k| row + k * block);
                candidates.max_by(|a, b| rewards[*a].total_cmp(&rewards[*b]))
            })
            .collect();
        let of = |values: Vec<f32>| mean(&values);
        Point {
            queries: count as f64,
            scale: 0.0,
            reward: of(chosen.iter().map(|row| rewards[*row]).collect()),
            as_asked: share(&chosen.iter().filter_map(|row| verdicts.get(*row).copied()).collect::<Vec<_>>()),
        }
    };
    Ok(std::iter::once(1).chain(counts.iter().copied()).map(choice).collect())
}

/// What a run's own evaluation would say of its base model with these adapters, of so many times as many pictures.
fn measured(
    plan: &RunPlan,
    loaded: &LoadedModel,
    adapters: &[AdapterSource],
    times: usize,
) -> Result<Measurement, Box<dyn Error>> {
    let eval = &plan.config.eval;
    let prompts = PromptSplit::load(&plan.prompts, plan.eval_prompts.as_ref())?.evaluation;
    // As many whole rounds of the prompts as an evaluation has begun, so that blocks of pictures have the same prompts.
    let count =
        if times == 1 { eval.count } else { eval.count.div_ceil(prompts.texts.len()) * prompts.texts.len() * times };
    let rewards = plan.reward.iter().map(|term| term.reward.clone()).collect();
    let request = MeasureRequest { count, ..MeasureRequest::of(&plan.config, prompts, rewards) };
    let denoiser = loaded.denoiser(adapters)?;
    Ok(measure(loaded, &*denoiser, None, &request, &StopFlag::new(), &mut |_, _| {})?)
}

/// The value of each picture: the weighted sum of the terms.
fn rewards(plan: &RunPlan, measured: &Measurement) -> Vec<f32> {
    let mut sums = vec![0.0; measured.images.len()];
    for term in &plan.reward {
        let values = measured.rewards.get(term.reward.name()).map_or(&[][..], Vec::as_slice);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += term.weight as f32 * value);
    }
    sums
}

fn mean(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64
}

fn share(verdicts: &[Option<bool>]) -> f64 {
    let known: Vec<f32> = verdicts.iter().flatten().map(|shown| f32::from(u8::from(*shown))).collect();
    mean(&known)
}

/// Writes `NAME-frontier.md`.
pub fn write(name: &str, experiment: &Experiment, lines: &[Line], out: &Path) -> Result<(), Box<dyn Error>> {
    let Some(frontier) = &experiment.frontier else { return Ok(()) };
    let heads: String =
        frontier.shares.iter().map(|share| format!(" gain at {:.0} % | queries | strength |", 100.0 * share)).collect();
    let mut text = format!(
        "# {}: the frontier\n\nThe most reward gained over the base model by any evaluation of a run, or by its product at any of the \
         strengths {:?}, while at least so much of the base model's share of pictures as asked for is left; mean and 95 % \
         interval over seeds, then the means of the queries and the strengths at which that was.\n\n\
         | task | variant | seeds |{heads}\n|---|---|---|{}\n",
        experiment.title,
        frontier.scales,
        "---|---|---|".repeat(frontier.shares.len())
    );
    for line in lines {
        let points: Vec<Vec<Point>> = line
            .runs
            .iter()
            .zip(&line.directories)
            .map(|(records, run)| points(records, run, frontier))
            .collect::<Result<_, _>>()?;
        text += &row(&line.task, &line.variant, &points, &frontier.shares);
    }
    for task in &experiment.tasks {
        let base = best_of(experiment, task, &frontier.best_of)?;
        for (point, count) in base.iter().skip(1).zip(&frontier.best_of) {
            text += &row(
                &task.name,
                &format!("best of {count} of the base model"),
                &[vec![base[0], *point]],
                &frontier.shares,
            );
        }
    }
    let path = out.join(format!("{name}-frontier.md"));
    std::fs::write(&path, text)?;
    println!("{}", path.display());
    Ok(())
}

fn row(task: &str, variant: &str, runs: &[Vec<Point>], shares: &[f64]) -> String {
    let cells = shares.iter().map(|share| {
        let best: Vec<Point> = runs.iter().filter_map(|points| gain(points, *share)).collect();
        let of = |part: fn(&Point) -> f64| Estimate::of(&best.iter().map(part).collect::<Vec<_>>());
        let reward = of(|point| point.reward);
        let half = if reward.half.is_finite() { format!(" ± {:.3}", reward.half) } else { String::new() };
        format!(
            " {:.3}{half} | {:.0} | {:.2} |",
            reward.mean,
            of(|point| point.queries).mean,
            of(|point| point.scale).mean
        )
    });
    format!("| {task} | {variant} | {} |{}\n", runs.len(), cells.collect::<String>())
}
