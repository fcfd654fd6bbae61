//! The lines of `metrics.jsonl`: one set of types, which trackers write and reports read.
//!
//! `docs/reference/metrics.md` describes every field.

mod measured;
mod names;
mod number;
mod run;

pub use measured::{
    AnchorRecord, CorrectionRecord, DistillationRecord, EpochRecord, EvalRecord, PairsRecord, PreferenceRecord,
    RegressionRecord, TaskEvalRecord, UpdateRecord,
};
pub use names::{METRICS, MetricName};
pub use run::{ChainRecord, MachineRecord, ModelRecord, PromptsRecord, RewardRecord, RunRecord, TaskRecord};

use std::collections::BTreeMap;

use ddpo_core::metrics;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// What the run is: the first line.
    Run(Box<RunRecord>),
    /// An epoch's training samples.
    Epoch(EpochRecord),
    /// One optimizer step of a policy gradient.
    Update(UpdateRecord),
    /// One optimizer step of a weighted regression.
    Regression(RegressionRecord),
    /// One optimizer step of a regression on corrected targets.
    Correction(CorrectionRecord),
    /// One optimizer step of a distillation.
    Distillation(DistillationRecord),
    /// One optimizer step on given pairs.
    Preference(PreferenceRecord),
    /// The anchor beside an optimizer step.
    Anchor(AnchorRecord),
    /// An evaluation.
    Eval(EvalRecord),
}

/// The kind of a line, whatever else it says.
#[derive(Deserialize)]
struct Line {
    kind: String,
}

impl Record {
    /// The kinds of lines there are.
    const KINDS: [&str; 9] =
        ["run", "epoch", "update", "regression", "correction", "distillation", "preference", "anchor", "eval"];

    /// Reads a line. `None` for a kind that a later version may have added; fields of a later version are passed over, and a
    /// number that is missing or was not finite is NaN, or 0 where it counts.
    ///
    /// # Errors
    /// What is wrong with the line.
    pub fn from_line(line: &str) -> serde_json::Result<Option<Self>> {
        let Line { kind } = serde_json::from_str(line)?;
        if Self::KINDS.contains(&kind.as_str()) { serde_json::from_str(line).map(Some) } else { Ok(None) }
    }

    /// The kind, as the line says it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Epoch(_) => "epoch",
            Self::Update(_) => "update",
            Self::Regression(_) => "regression",
            Self::Correction(_) => "correction",
            Self::Distillation(_) => "distillation",
            Self::Preference(_) => "preference",
            Self::Anchor(_) => "anchor",
            Self::Eval(_) => "eval",
        }
    }

    /// The epoch; 0 for what is known before the first.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Run(_) => 0,
            Self::Epoch(r) => r.epoch,
            Self::Update(r) => r.epoch,
            Self::Regression(r) => r.epoch,
            Self::Correction(r) => r.epoch,
            Self::Distillation(r) => r.epoch,
            Self::Preference(r) => r.epoch,
            Self::Anchor(r) => r.epoch,
            Self::Eval(r) => r.epoch,
        }
    }

    /// What a curve has on its horizontal axis: the optimizer step for updates, the epoch for the rest.
    pub fn step(&self) -> u64 {
        match self {
            Self::Update(r) => r.step,
            Self::Regression(r) => r.step,
            Self::Correction(r) => r.step,
            Self::Distillation(r) => r.step,
            Self::Preference(r) => r.step,
            Self::Anchor(r) => r.step,
            other => other.epoch(),
        }
    }

    /// The measurements by the names of [`METRICS`]; numbers that are not finite are left out.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        // No record holds anything that JSON has not.
        let Ok(Value::Object(fields)) = serde_json::to_value(self) else { return Vec::new() };
        let named = METRICS.iter().filter(|metric| metric.kind == self.kind());
        let mut scalars: Vec<(String, f64)> =
            named.filter_map(|metric| Some((metric.name.to_owned(), fields.get(metric.field)?.as_f64()?))).collect();
        let mut extend = |prefix: &str, values: &BTreeMap<String, f64>| {
            let finite = values.iter().filter(|(_, value)| value.is_finite());
            scalars.extend(finite.map(|(name, value)| (format!("{prefix}{name}"), *value)));
        };
        match self {
            Self::Epoch(record) => {
                extend(metrics::REWARD_PART, &record.reward_parts);
                let task = record.task.iter().map(|task| (task.clone(), record.reward_mean));
                extend(metrics::REWARD_TASK, &task.collect());
            }
            Self::Eval(record) => {
                extend(metrics::EVAL_HELD_OUT, &record.held_out);
                extend(metrics::EVAL_REWARD_PART, &record.reward_parts);
                let tasks = record.tasks.iter().map(|task| (task.name.clone(), task.reward_mean));
                extend(metrics::EVAL_TASK, &tasks.collect());
            }
            _ => {}
        }
        scalars
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(record: &Record, expected: &str) {
        let line = serde_json::to_string(record).unwrap();
        assert_eq!(line, expected);
        assert_eq!(Record::from_line(&line).unwrap().as_ref(), Some(record));
    }

    #[test]
    fn the_lines_have_the_documented_fields_in_order_and_read_back() {
        check(
            &Record::Epoch(EpochRecord { epoch: 1, reward_queries: 64, ..Default::default() }),
            r#"{"kind":"epoch","epoch":1,"reward_queries":64,"reward_mean":0.0,"reward_std":0.0,"sample_seconds":0.0,"reward_seconds":0.0,"reward_busy_seconds":0.0,"train_seconds":0.0,"images_per_second":0.0,"reward_histogram":{"low":0.0,"high":0.0,"counts":[]}}"#,
        );
        check(
            &Record::Update(UpdateRecord { epoch: 1, step: 1, loss: 0.5, ..Default::default() }),
            r#"{"kind":"update","epoch":1,"step":1,"loss":0.5,"approx_kl":0.0,"clip_fraction":0.0,"ratio_max_deviation":0.0,"grad_norm":0.0}"#,
        );
        check(
            &Record::Regression(RegressionRecord { epoch: 1, step: 1, denoising_error: 0.5, ..Default::default() }),
            r#"{"kind":"regression","epoch":1,"step":1,"loss":0.0,"denoising_error":0.5,"effective_samples":0.0,"grad_norm":0.0}"#,
        );
        check(
            &Record::Correction(CorrectionRecord {
                epoch: 1,
                step: 1,
                distance_to_base: Some(0.5),
                ..Default::default()
            }),
            r#"{"kind":"correction","epoch":1,"step":1,"loss":0.0,"denoising_error":0.0,"distance_to_old":0.0,"distance_to_base":0.5,"grad_norm":0.0}"#,
        );
        let tasks =
            vec![TaskEvalRecord { name: "a".into(), rewards: vec![0.5], improved: Some(1.0), ..Default::default() }];
        let eval = EvalRecord { tasks, ..Default::default() };
        check(
            &Record::Eval(eval.clone()),
            r#"{"kind":"eval","epoch":0,"reward_mean":0.0,"held_out":{},"kl_to_base":0.0,"diversity":0.0,"reward_histogram":{"low":0.0,"high":0.0,"counts":[]},"tasks":[{"name":"a","reward_mean":0.0,"improved":1.0,"rewards":[0.5]}],"eval_seconds":0.0}"#,
        );
        assert!(Record::Eval(eval).scalars().contains(&("eval/task/a".to_owned(), 0.0)));
        let epoch = Record::Epoch(EpochRecord { task: Some("a".into()), reward_mean: 2.0, ..Default::default() });
        assert!(epoch.scalars().contains(&("reward/task/a".to_owned(), 2.0)));
        let held_out = [("aesthetic".to_owned(), 5.5)].into();
        check(
            &Record::Eval(EvalRecord { held_out, rewards: vec![0.1, -2.5], ..Default::default() }),
            r#"{"kind":"eval","epoch":0,"reward_mean":0.0,"held_out":{"aesthetic":5.5},"kl_to_base":0.0,"diversity":0.0,"reward_histogram":{"low":0.0,"high":0.0,"counts":[]},"rewards":[0.1,-2.5],"eval_seconds":0.0}"#,
        );
        check(
            &Record::Run(Box::new(RunRecord { schema: RunRecord::SCHEMA, ..Default::default() })),
            r#"{"kind":"run","schema":1,"program":"","started":"","command":"","model":{"name":"","fingerprint":""},"algorithm":"","parameters":"","reward":{"name":""},"held_out":[],"prompts":{"training":0,"evaluation":[],"disjoint":false},"seed":0,"evaluation_seed":0,"epochs":0,"images_per_epoch":0,"updates_per_epoch":0,"chain":{"scheduler":"","steps":0,"guidance":0.0,"latent":[0,0,0]},"machine":{"platform":"","device":"","threads":0}}"#,
        );
    }

    #[test]
    fn a_number_that_is_not_finite_is_null_and_reads_back_as_nan() {
        let line =
            serde_json::to_string(&Record::Eval(EvalRecord { diversity: f64::NAN, ..Default::default() })).unwrap();
        assert!(line.contains("\"diversity\":null"), "{line}");
        let Some(Record::Eval(eval)) = Record::from_line(&line).unwrap() else { panic!("{line}") };
        assert!(eval.diversity.is_nan() && eval.kl_to_base == 0.0);
        assert!(Record::Eval(eval).scalars().iter().all(|(_, value)| value.is_finite()));
    }

    #[test]
    fn later_kinds_and_fields_are_passed_over_and_older_lines_read() {
        assert_eq!(Record::from_line(r#"{"kind":"of-a-later-version","x":1}"#).unwrap(), None);
        let eval = r#"{"kind":"eval","epoch":2,"reward_mean":1.5,"from_a_later_version":[1]}"#;
        let Some(Record::Eval(eval)) = Record::from_line(eval).unwrap() else { panic!("no evaluation") };
        assert!(eval.reward_mean == 1.5 && eval.kl_to_base.is_nan() && eval.rewards.is_empty());
        // The name that the field had before there was a run record.
        let step = r#"{"kind":"regression","epoch":1,"step":1,"loss":0.5,"error":0.25}"#;
        let Some(Record::Regression(step)) = Record::from_line(step).unwrap() else { panic!("no regression") };
        assert_eq!(step.denoising_error, 0.25);
        assert!(Record::from_line(r#"{"kind":"eval","reward_mean":1.5}"#).is_err());
    }
}
