//! Curves over reward queries, with intervals over seeds.

use ddpo::report::{Estimate, Records};
use ddpo::train::EvalRecord;

/// `(reward queries, value)` of one run.
pub fn curve(records: &Records, figure: &str) -> Vec<(f64, f64)> {
    if figure == "training-reward" {
        return records.epochs.iter().map(|epoch| (epoch.reward_queries as f64, epoch.reward_mean)).collect();
    }
    let queries = |epoch: u64| {
        let record = records.epochs.iter().find(|record| record.epoch == epoch);
        record.map_or(0.0, |record| record.reward_queries as f64)
    };
    records.evals.iter().filter_map(|eval| Some((queries(eval.epoch), value(eval, figure)?))).collect()
}

fn value(eval: &EvalRecord, figure: &str) -> Option<f64> {
    let value = match figure {
        "reward" => Some(eval.reward_mean),
        "kl" => Some(eval.kl_to_base),
        "diversity" => Some(eval.diversity),
        "improved" => eval.improved,
        _ => eval.held_out.values().next().copied(),
    };
    value.filter(|value| value.is_finite())
}

/// The mean curve of several seeds with its interval, at the points that all of them have.
pub fn mean_curve(runs: &[Records], figure: &str) -> Vec<(f64, Estimate)> {
    let curves: Vec<Vec<(f64, f64)>> = runs.iter().map(|records| curve(records, figure)).collect();
    let points = curves.iter().map(Vec::len).min().unwrap_or(0);
    let at = |i: usize| {
        let values: Vec<f64> = curves.iter().map(|curve| curve[i].1).collect();
        (curves[0][i].0, Estimate::of(&values))
    };
    (0..points).map(at).collect()
}
