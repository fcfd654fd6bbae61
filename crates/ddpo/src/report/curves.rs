//! The charts of a page: what each shows, and what to make of it.

use std::collections::BTreeSet;

use ddpo_train::{EvalRecord, RewardRecord};

use super::chart::{Chart, Point, Quantity, Series};
use super::run::ReportRun;
use super::tasks;
use super::verdict::evaluated;
use super::words::escape;

/// Values of a line of optimizer steps at most; of more, as many are shown, evenly.
const MOST_STEPS: usize = 1000;

/// The curves of evaluations, of one run or of several over each other.
pub(super) fn evaluations(runs: &[ReportRun]) -> String {
    let mut charts = reward(runs);
    charts.extend(tasks::charts(runs));
    let names: BTreeSet<&String> =
        runs.iter().flat_map(|run| &run.records.evals).flat_map(|eval| eval.held_out.keys()).collect();
    charts.extend(names.into_iter().map(|name| held_out(runs, name)));
    charts.push(Chart {
        title: "Divergence from the base model".into(),
        note: "How far the model's denoising has moved from the base model's: what the reward costs.".into(),
        y: "nats a chain".into(),
        quantity: Quantity::Positive,
        series: each(runs, |_, eval| (eval.kl_to_base, None)),
        ..over_epochs()
    });
    if runs.iter().flat_map(|run| &run.records.evals).any(|eval| eval.x0_distance.is_some()) {
        charts.push(Chart {
            title: "Distance from the base model".into(),
            note: "The mean squared difference of the predicted picture from the base model's, over all noise levels. It depends on no \
                   sampler, so that runs with other steps, another spacing or another η can be compared by it."
                .into(),
            quantity: Quantity::Positive,
            series: each(runs, |_, eval| (eval.x0_distance.unwrap_or(f64::NAN), None)),
            ..over_epochs()
        });
    }
    if runs.iter().flat_map(|run| &run.records.evals).any(|eval| eval.as_asked.is_some()) {
        charts.push(Chart {
            title: "As asked".into(),
            note: "The share of pictures that show what their prompts name, by the judge that is shipped with the model. No reward is \
                   paid for it unless it was asked for: where it falls, the reward is bought with what the pictures show."
                .into(),
            quantity: Quantity::Share,
            series: each(runs, |_, eval| (eval.as_asked.unwrap_or(f64::NAN), None)),
            ..over_epochs()
        });
    }
    charts.push(Chart {
        title: "Diversity".into(),
        note: "The mean distance of the evaluation pictures from each other: where it falls, they become alike.".into(),
        quantity: Quantity::Positive,
        series: each(runs, |_, eval| (eval.diversity, None)),
        ..over_epochs()
    });
    charts.push(Chart {
        title: "Prompts that improved".into(),
        note: "The share of prompts whose pictures are worth more than the base model's.".into(),
        quantity: Quantity::Share,
        series: each(runs, |_, eval| (eval.improved.unwrap_or(f64::NAN), None)),
        ..over_epochs()
    });
    if runs.len() > 1 {
        charts.push(bargain(runs));
    }
    charts.into_iter().map(Chart::draw).collect()
}

fn over_epochs() -> Chart {
    Chart { x: "epoch", ..Chart::default() }
}

/// The optimised reward. Runs of different rewards have a chart each.
fn reward(runs: &[ReportRun]) -> Vec<Chart> {
    if let [run] = runs {
        return vec![reward_of_one(run)];
    }
    let of = |run: &ReportRun| run.record().map(|record| record.reward.clone()).unwrap_or_default();
    let mut rewards: Vec<RewardRecord> = Vec::new();
    for reward in runs.iter().map(of) {
        if !rewards.contains(&reward) {
            rewards.push(reward);
        }
    }
    let chart = |reward: &RewardRecord| {
        let mut series = each(runs, |run, eval| (eval.reward_mean, run.half(&eval.rewards)));
        series.retain(|series| of(&runs[series.colour]) == *reward);
        let title = if reward.name.is_empty() { "Reward".into() } else { format!("Reward: {}", reward.name) };
        Chart { title, y: reward.unit.clone().unwrap_or_default(), series, ..over_epochs() }
    };
    rewards.iter().map(chart).collect()
}

fn reward_of_one(run: &ReportRun) -> Chart {
    let training = run.records.epochs.iter().map(|epoch| Point::new(epoch.epoch as f64, epoch.reward_mean)).collect();
    let evaluation = match run.records.has_unseen_prompts() {
        None => "evaluation",
        known => evaluated(known),
    };
    let mut series = vec![
        Series { name: "training samples".into(), points: training, colour: 1, faint: true },
        Series {
            name: evaluation.into(),
            ..each(std::slice::from_ref(run), |run, eval| (eval.reward_mean, run.half(&eval.rewards))).remove(0)
        },
    ];
    if run.has_tasks() {
        return Chart {
            title: "Mean gain of the tasks".into(),
            note: "How far the rewards are above the base model's, in standard deviations of its pictures, a mean over the tasks.".into(),
            y: "σ".into(),
            series: series.split_off(1),
            ..over_epochs()
        };
    }
    let name = run.record().map(|record| record.reward.name.clone());
    Chart {
        title: name.map_or("Reward".into(), |name| format!("Reward: {name}")),
        note: "Higher is better. The band is the 95 % interval of the mean over prompts.".into(),
        y: run.unit().unwrap_or_default().into(),
        series,
        ..over_epochs()
    }
}

fn held_out(runs: &[ReportRun], name: &str) -> Chart {
    let value = |run: &ReportRun, eval: &EvalRecord| {
        let half = eval.held_out_rewards.get(name).and_then(|rewards| run.half(rewards));
        (eval.held_out.get(name).copied().unwrap_or(f64::NAN), half)
    };
    Chart {
        title: format!("{name} (not optimised)"),
        note: "Measured and never trained on: where it falls while the reward rises, the reward is being gamed.".into(),
        y: runs.iter().find_map(|run| run.unit_of(name)).unwrap_or_default().into(),
        series: each(runs, value),
        ..over_epochs()
    }
}

/// The reward over the divergence: which run gets more for what it costs.
fn bargain(runs: &[ReportRun]) -> Chart {
    let mut series = each(runs, |_, eval| (eval.reward_mean, None));
    for line in &mut series {
        let kl = runs[line.colour].records.evals.iter().map(|eval| eval.kl_to_base);
        line.points.iter_mut().zip(kl).for_each(|(point, kl)| point.x = kl);
        line.points.retain(|point| point.x.is_finite());
    }
    Chart {
        title: "Reward for divergence".into(),
        note: "Of two runs at the same divergence, the higher one has learnt more for the same distance from the base model.".into(),
        x: "nats a chain",
        y: runs.iter().find_map(ReportRun::unit).unwrap_or_default().into(),
        series,
        ..Chart::default()
    }
}

/// A line a run, of a value and its interval.
fn each(runs: &[ReportRun], value: impl Fn(&ReportRun, &EvalRecord) -> (f64, Option<f64>)) -> Vec<Series> {
    let line = |(colour, run): (usize, &ReportRun)| {
        let point = |eval: &EvalRecord| {
            let (y, half) = value(run, eval);
            Point { x: eval.epoch as f64, y, half }
        };
        let name = if runs.len() > 1 { run.name.clone() } else { String::new() };
        Series { name, points: run.records.evals.iter().map(point).collect(), colour, faint: false }
    };
    runs.iter().enumerate().map(line).collect()
}

/// The curves of optimizer steps. Those which cannot move are left out, with the reason.
pub(super) fn updates(run: &ReportRun) -> String {
    let records = &run.records;
    let per_update = |value: fn(&ddpo_train::UpdateRecord) -> f64| {
        records.updates.iter().map(|update| Point::new(update.step as f64, value(update))).collect::<Vec<_>>()
    };
    let per_step = |value: fn(&ddpo_train::RegressionRecord) -> f64| {
        records.regressions.iter().map(|step| Point::new(step.step as f64, value(step))).collect::<Vec<_>>()
    };
    let per_correction = |value: fn(&ddpo_train::CorrectionRecord) -> f64| {
        records.corrections.iter().map(|step| Point::new(step.step as f64, value(step))).collect::<Vec<_>>()
    };
    let per_preference = |value: fn(&ddpo_train::PreferenceRecord) -> f64| {
        records.preferences.iter().map(|step| Point::new(step.step as f64, value(step))).collect::<Vec<_>>()
    };
    let per_distillation = |value: fn(&ddpo_train::DistillationRecord) -> f64| {
        records.distillations.iter().map(|step| Point::new(step.step as f64, value(step))).collect::<Vec<_>>()
    };
    let accuracy =
        |update: &ddpo_train::UpdateRecord| update.pairs.as_ref().map_or(f64::NAN, |pairs| pairs.pair_accuracy);
    let still = |points: &[Point]| points.iter().all(|point| point.y == 0.0 || !point.y.is_finite());
    let ratio = [
        ("Clip fraction", Quantity::Share, per_update(|update| update.clip_fraction)),
        ("Approximate divergence of the updates", Quantity::Positive, per_update(|update| update.approx_kl)),
        ("Largest deviation of a ratio from 1", Quantity::Positive, per_update(|update| update.ratio_max_deviation)),
    ];
    let nothing_moves = !records.updates.is_empty() && ratio.iter().all(|(_, _, points)| still(points));
    let mut charts: Vec<Chart> = ratio
        .into_iter()
        .filter(|(_, _, points)| !still(points))
        .map(|(title, quantity, points)| steps(title, quantity, points))
        .collect();
    charts.push(steps("Weighted denoising error", Quantity::Positive, per_step(|step| step.loss)));
    charts.push(steps("Samples that count", Quantity::Positive, per_step(|step| step.effective_samples)));
    let corrections = [
        ("Distance from the corrected targets, weighted", per_correction(|step| step.loss)),
        ("Distance of the predicted noise from the old policy's", per_correction(|step| step.distance_to_old)),
        (
            "Distance of the predicted noise from the base model's",
            per_correction(|step| step.distance_to_base.unwrap_or(f64::NAN)),
        ),
    ];
    let moving = corrections.into_iter().filter(|(_, points)| !still(points));
    charts.extend(moving.map(|(title, points)| steps(title, Quantity::Positive, points)));
    let ordered = [per_update(accuracy), per_preference(|step| step.pair_accuracy)].concat();
    let preferences = [
        ("Pairs in their order, by more than the base model has them", Quantity::Share, ordered),
        (
            "Distance of the guesses from their targets",
            Quantity::Positive,
            per_distillation(|step| step.distance_to_target),
        ),
        ("Loss of the pairs", Quantity::Positive, per_preference(|step| step.loss)),
    ];
    let moving = preferences.into_iter().filter(|(_, _, points)| !still(points));
    charts.extend(moving.map(|(title, quantity, points)| steps(title, quantity, points)));
    let anchor = records.anchors.iter().map(|step| Point::new(step.step as f64, step.loss)).collect();
    charts.push(steps("What the anchor's pictures have lost", Quantity::Positive, anchor));
    // A run has steps of one kind.
    let norms = [
        per_update(|update| update.grad_norm),
        per_step(|step| step.grad_norm),
        per_correction(|step| step.grad_norm),
        per_preference(|step| step.grad_norm),
        per_distillation(|step| step.grad_norm),
    ]
    .concat();
    charts.push(steps("Gradient norm, before clipping", Quantity::Positive, norms));
    let drawn: String = charts.into_iter().map(Chart::draw).collect();
    let note = if nothing_moves {
        "<p class=\"note\">Clip fraction, approximate divergence and the deviation of the ratio are 0 at every update, as they must be with \
         one update an epoch, and are not drawn: that the ratio is 1 says that sampling and training agree.</p>\n"
    } else {
        ""
    };
    format!("<div class=\"charts\">{drawn}</div>{}", if drawn.is_empty() { "" } else { note })
}

fn steps(title: &str, quantity: Quantity, points: Vec<Point>) -> Chart {
    let stride = points.len().div_ceil(MOST_STEPS).max(1);
    let points = points.into_iter().step_by(stride).collect();
    let series = vec![Series { points, ..Series::default() }];
    Chart { title: title.to_owned(), x: "update", quantity, series, ..Chart::default() }
}

/// The evaluations as a table, for those who want the numbers.
pub(super) fn table(run: &ReportRun) -> String {
    use super::words::{number, percent};
    let names: BTreeSet<&String> = run.records.evals.iter().flat_map(|eval| eval.held_out.keys()).collect();
    let tasks: Vec<&String> =
        run.record().map(|record| record.tasks.iter().map(|task| &task.name).collect()).unwrap_or_default();
    let head: String = tasks.iter().chain(&names).map(|name| format!("<th>{}</th>", escape(name))).collect();
    let unit = run.unit().map(|unit| format!(", {}", escape(unit))).unwrap_or_default();
    let with_half = |value: f64, half: Option<f64>| match half {
        Some(half) => format!("{} ± {}", number(value), number(half)),
        None => number(value),
    };
    let row = |eval: &EvalRecord| {
        let others = names.iter().map(|name| {
            let half = eval.held_out_rewards.get(*name).and_then(|rewards| run.half(rewards));
            format!("<td>{}</td>", with_half(eval.held_out.get(*name).copied().unwrap_or(f64::NAN), half))
        });
        let of_tasks = eval.tasks.iter().map(|task| format!("<td>{}</td>", number(task.reward_mean)));
        format!(
            "<tr><th>{}</th><td>{}</td>{}<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
            eval.epoch,
            with_half(eval.reward_mean, run.half(&eval.rewards)),
            of_tasks.chain(others).collect::<String>(),
            eval.as_asked.map_or("–".into(), percent),
            eval.improved.map_or("–".into(), percent),
            number(eval.kl_to_base),
            number(eval.diversity)
        )
    };
    format!(
        "<details><summary>The same as numbers</summary><div class=\"scroll\"><table><thead><tr><th>epoch</th><th>reward{unit}</th>{head}\
         <th>as asked</th><th>better on</th><th>nats</th><th>diversity</th></tr></thead><tbody>\n{}</tbody></table></div></details>\n",
        run.records.evals.iter().map(row).collect::<String>()
    )
}
