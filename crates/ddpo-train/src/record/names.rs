//! Which field of `metrics.jsonl` is which metric of `metrics.csv` and TensorBoard.

use ddpo_core::metrics;

/// A number of a line and the name under which the other trackers have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricName {
    /// The kind of the line.
    pub kind: &'static str,
    /// The field of the line.
    pub field: &'static str,
    /// The metric's name.
    pub name: &'static str,
}

const fn metric(kind: &'static str, field: &'static str, name: &'static str) -> MetricName {
    MetricName { kind, field, name }
}

/// Every number of every line but the epoch and the step, which are the axes. The means of rewards that are not optimised
/// have their names behind [`metrics::EVAL_HELD_OUT`], those of the parts of the optimised one behind [`metrics::REWARD_PART`] and
/// [`metrics::EVAL_REWARD_PART`], those of tasks behind [`metrics::REWARD_TASK`] and [`metrics::EVAL_TASK`].
pub const METRICS: &[MetricName] = &[
    metric("epoch", "reward_queries", metrics::REWARD_QUERIES),
    metric("epoch", "reward_mean", metrics::REWARD_MEAN),
    metric("epoch", "reward_std", metrics::REWARD_STD),
    metric("epoch", "sample_seconds", metrics::SAMPLE_SECONDS),
    metric("epoch", "reward_seconds", metrics::REWARD_SECONDS),
    metric("epoch", "reward_busy_seconds", metrics::REWARD_BUSY_SECONDS),
    metric("epoch", "train_seconds", metrics::TRAIN_SECONDS),
    metric("epoch", "exchange_seconds", metrics::EXCHANGE_SECONDS),
    metric("epoch", "images_per_second", metrics::IMAGES_PER_SECOND),
    metric("epoch", "left_out", metrics::LEFT_OUT),
    metric("update", "loss", metrics::LOSS),
    metric("update", "approx_kl", metrics::APPROX_KL),
    metric("update", "clip_fraction", metrics::CLIP_FRACTION),
    metric("update", "ratio_max_deviation", metrics::RATIO_MAX_DEVIATION),
    metric("update", "grad_norm", metrics::GRAD_NORM),
    metric("update", "kl_to_base", metrics::KL_TO_BASE),
    metric("update", "pair_ties", metrics::PAIR_TIES),
    metric("update", "pair_accuracy", metrics::PAIR_ACCURACY),
    metric("update", "pair_stranded", metrics::PAIR_STRANDED),
    metric("regression", "loss", metrics::LOSS),
    metric("regression", "denoising_error", metrics::DENOISING_ERROR),
    metric("regression", "effective_samples", metrics::EFFECTIVE_SAMPLES),
    metric("regression", "grad_norm", metrics::GRAD_NORM),
    metric("correction", "loss", metrics::LOSS),
    metric("correction", "denoising_error", metrics::DENOISING_ERROR),
    metric("correction", "distance_to_old", metrics::DISTANCE_TO_OLD),
    metric("correction", "distance_to_base", metrics::DISTANCE_TO_BASE),
    metric("correction", "grad_norm", metrics::GRAD_NORM),
    metric("distillation", "loss", metrics::LOSS),
    metric("distillation", "distance_to_target", metrics::DISTANCE_TO_TARGET),
    metric("distillation", "grad_norm", metrics::GRAD_NORM),
    metric("preference", "loss", metrics::LOSS),
    metric("preference", "denoising_error", metrics::DENOISING_ERROR),
    metric("preference", "pair_accuracy", metrics::PAIR_ACCURACY),
    metric("preference", "grad_norm", metrics::GRAD_NORM),
    metric("anchor", "loss", metrics::ANCHOR_LOSS),
    metric("eval", "reward_mean", metrics::EVAL_REWARD_MEAN),
    metric("eval", "kl_to_base", metrics::EVAL_KL_TO_BASE),
    metric("eval", "epsilon_distance", metrics::EVAL_EPSILON_DISTANCE),
    metric("eval", "x0_distance", metrics::EVAL_X0_DISTANCE),
    metric("eval", "diversity", metrics::EVAL_DIVERSITY),
    metric("eval", "as_asked", metrics::EVAL_AS_ASKED),
    metric("eval", "improved", metrics::EVAL_IMPROVED),
    metric("eval", "eval_seconds", metrics::EVAL_SECONDS),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::*;

    /// One of each kind, with every field that may be left out.
    fn records() -> Vec<Record> {
        let update = UpdateRecord { kl_to_base: Some(0.0), pairs: Some(PairsRecord::default()), ..Default::default() };
        let eval = EvalRecord {
            as_asked: Some(1.0),
            epsilon_distance: Some(0.5),
            x0_distance: Some(0.5),
            improved: Some(0.5),
            held_out: [("x".into(), 1.0)].into(),
            ..Default::default()
        };
        vec![
            Record::Epoch(EpochRecord { left_out: 1, exchange_seconds: Some(0.5), ..Default::default() }),
            Record::Update(update),
            Record::Regression(RegressionRecord::default()),
            Record::Correction(CorrectionRecord { distance_to_base: Some(0.0), ..Default::default() }),
            Record::Distillation(DistillationRecord::default()),
            Record::Preference(PreferenceRecord::default()),
            Record::Anchor(AnchorRecord::default()),
            Record::Eval(eval),
        ]
    }

    #[test]
    fn every_number_of_every_line_is_a_metric_and_every_metric_a_number_of_its_line() {
        for record in records() {
            let Ok(Value::Object(line)) = serde_json::to_value(&record) else { panic!("{record:?}") };
            let numbers =
                line.iter().filter(|(field, value)| value.is_number() && !["epoch", "step"].contains(&field.as_str()));
            let fields: Vec<&str> = numbers.map(|(field, _)| field.as_str()).collect();
            let named: Vec<&str> =
                METRICS.iter().filter(|metric| metric.kind == record.kind()).map(|metric| metric.field).collect();
            assert_eq!(fields, named, "{}", record.kind());
            assert_eq!(record.scalars().len(), named.len() + usize::from(record.kind() == "eval"), "{}", record.kind());
        }
    }

    #[test]
    fn the_reference_has_every_name() {
        let page = include_str!("../../../../docs/reference/metrics.md");
        for MetricName { kind, field, name } in METRICS {
            let row = |line: &&str| line.contains(&format!("| `{field}` | `{name}` |"));
            let section =
                page.split("\n## ").find(|section| section.starts_with(&format!("`{kind}`"))).unwrap_or_default();
            assert!(section.lines().any(|line| row(&line)), "{kind}: {field} is {name}");
        }
    }
}
