//! The verdict in words that a stranger understands.

use std::collections::BTreeSet;

use ddpo_train::EvalRecord;

use super::run::ReportRun;
use super::verdict::{Verdict, shift};
use super::words::{change, count, escape, number, percent, with_unit};

/// What came of a run: the reward before and after, how it was measured, how far the model went, and warnings.
pub(super) fn summary(run: &ReportRun) -> String {
    let verdict = Verdict::of(&run.records);
    let evals = run.records.up_to_product();
    let (Some(base), Some(last)) = (evals.first(), evals.last().filter(|_| verdict.reward.is_some())) else {
        if let Some(end) = run.records.ended_by() {
            return format!(
                "<p class=\"lead\">The run has ended itself after epoch {}: no evaluation within its limits was better than the base model, which is its product.</p>\n",
                end.epoch
            );
        }
        return "<p class=\"lead\">There are not two evaluations yet, so there is nothing to compare.</p>\n".into();
    };
    format!(
        "<p class=\"lead\">{}</p>\n<p>{}</p>\n{}{}{}",
        lead(run, base, last),
        escape(&measured_on(run, last)),
        tiles(run, base, last),
        best(run, last),
        warnings(run, &verdict)
    )
}

/// The one sentence.
fn lead(run: &ReportRun, base: &EvalRecord, last: &EvalRecord) -> String {
    let what = if run.has_tasks() { "The mean gain of the tasks" } else { "The reward" };
    let reward = run.record().map_or(what.into(), |record| format!("{what} <q>{}</q>", escape(&record.reward.name)));
    let value = |value: f64| escape(&with_unit(value, run.unit()));
    let difference = last.reward_mean - base.reward_mean;
    let verb = if difference > 0.0 {
        "rose"
    } else if difference < 0.0 {
        "fell"
    } else {
        "stayed"
    };
    let from = if difference == 0.0 { "at".to_owned() } else { format!("from {} to", value(base.reward_mean)) };
    let share =
        relative(base.reward_mean, last.reward_mean).map(|share| format!(", {}", percent(share))).unwrap_or_default();
    let interval = run.gain(base, last).map(|gain| {
        format!("; 95 % interval of the change: {} to {}", change(gain.mean - gain.half), change(gain.mean + gain.half))
    });
    format!(
        "{reward} {verb} {from} <b>{}</b> in {} (<b>{}</b>{share}{}).",
        value(last.reward_mean),
        count(last.epoch as usize, "epoch"),
        escape(&match run.unit() {
            Some(unit) => format!("{} {unit}", change(difference)),
            None => change(difference),
        }),
        interval.unwrap_or_default()
    )
}

/// The change as a share of where it began, where that means something: both on the same side of zero.
pub(super) fn relative(base: f64, last: f64) -> Option<f64> {
    (base * last > 0.0).then(|| (last - base).abs() / base.abs()).filter(|share| *share < 10.0)
}

/// Which pictures the numbers are of, and whether training saw their prompts.
fn measured_on(run: &ReportRun, last: &EvalRecord) -> String {
    let pictures = pictures(last);
    let Some(record) = run.record() else {
        return "Measured on the run's evaluation pictures, with the same prompts and seeds every time, and seeds that training never used.".into();
    };
    // Tasks may have some of the same.
    let prompts: BTreeSet<&String> = record.prompts.evaluation.iter().take(pictures.max(1)).collect();
    let prompts = if run.has_tasks() { prompts.len() } else { record.prompts.evaluation.len().min(pictures.max(1)) };
    let seen = match record.prompts.disjoint {
        true => "none of which training used, and with seeds that it never used",
        false => {
            "seen in training, with seeds that training never used: how the model does on other prompts was not measured"
        }
    };
    format!("Measured on {} of {}, {seen}.", count(pictures, "picture"), count(prompts, "prompt"))
}

/// How many pictures an evaluation is of.
fn pictures(eval: &EvalRecord) -> usize {
    match eval.rewards.len() as u64 {
        0 => eval.reward_histogram.counts.iter().sum::<u64>() as usize,
        recorded => recorded as usize,
    }
}

/// The numbers that say most.
fn tiles(run: &ReportRun, base: &EvalRecord, last: &EvalRecord) -> String {
    let mut tiles = vec![reward_tile(run, base, last)];
    tiles.extend(last.improved.map(|share| {
        let of = match run.prompts().len() {
            0 => "of prompts".to_owned(),
            _ if run.has_tasks() => "of their prompts, the tasks in the mean".to_owned(),
            // Of more prompts than pictures, those that have one.
            prompts => {
                let measured = match pictures(last) {
                    0 => prompts,
                    pictures => prompts.min(pictures),
                };
                format!("{} of {}", (share * measured as f64).round(), count(measured, "prompt"))
            }
        };
        tile("better on", &percent(share), &of)
    }));
    if last.kl_to_base.is_finite() {
        let scale = shift(&run.records, last.kl_to_base).map_or("from the base model".into(), distance);
        tiles.push(tile("divergence", &format!("{} nats", number(last.kl_to_base)), &scale));
    }
    if let (Some(before), Some(share)) = (base.as_asked, last.as_asked) {
        tiles.push(tile(
            "as asked",
            &percent(share),
            &format!("of pictures show what was asked for; {} before", percent(before)),
        ));
    }
    if last.diversity.is_finite() {
        let text =
            format!("{} of the base model's {}", percent(last.diversity / base.diversity), number(base.diversity));
        tiles.push(tile("diversity", &number(last.diversity), &text));
    }
    format!("<dl class=\"tiles\">{}</dl>\n", tiles.concat())
}

fn reward_tile(run: &ReportRun, base: &EvalRecord, last: &EvalRecord) -> String {
    let half = run.half(&last.rewards).map(|half| format!(" ± {}", number(half))).unwrap_or_default();
    let value = format!("{}{half}", number(last.reward_mean));
    tile(
        &run.unit().map_or("reward".into(), |unit| format!("reward, {unit}")),
        &value,
        &format!("{} before", number(base.reward_mean)),
    )
}

fn tile(name: &str, value: &str, text: &str) -> String {
    format!("<div><dt>{}</dt><dd><b>{}</b><span>{}</span></dd></div>", escape(name), escape(value), escape(text))
}

/// A shift in standard deviations, in words.
pub(super) fn distance(shift: f64) -> String {
    let words = match shift {
        ..0.5 => "close to the base model",
        0.5..1.5 => "moved within the base model's own noise",
        1.5..3.0 => "beyond the base model's own noise",
        _ => "far from the base model",
    };
    format!("{words}: {shift:.1} σ a step")
}

/// Where the best product is, when it is not the last; of a run that ended itself, where it did.
fn best(run: &ReportRun, last: &EvalRecord) -> String {
    if let Some(end) = run.records.ended_by() {
        return format!(
            "<p>The run has ended itself after epoch {}; its product is that of the best evaluation within its limits, after epoch {}.</p>\n",
            end.epoch, last.epoch
        );
    }
    let best = run.records.evals.iter().max_by(|a, b| a.reward_mean.total_cmp(&b.reward_mean));
    match best.filter(|best| best.epoch != last.epoch && best.epoch > 0) {
        Some(best) => format!(
            "<p>The reward was best after epoch {}: {}.</p>\n",
            best.epoch,
            escape(&with_unit(best.reward_mean, run.unit()))
        ),
        None => String::new(),
    }
}

fn warnings(run: &ReportRun, verdict: &Verdict) -> String {
    if verdict.warnings.is_empty() {
        let grids = if run.grids.is_empty() { "" } else { ": look at the <a href=\"#pictures\">pictures</a>" };
        return format!("<p class=\"good\">No sign of over-optimisation was measured. That is no proof{grids}.</p>\n");
    }
    let warning = |warning: &super::Warning| {
        format!("<p class=\"warning\"><b>Warning.</b> {}</p>\n", escape(&warning.to_string()))
    };
    verdict.warnings.iter().map(warning).collect()
}
