//! Curves over reward queries, with intervals over seeds.

use ddpo::report::{Estimate, Records};
use ddpo::train::EvalRecord;
use serde::{Deserialize, Serialize};

/// `(reward queries, value)` of one run.
pub fn curve(records: &Records, figure: &str) -> Vec<(f64, f64)> {
    if figure == "training-reward" {
        return records.epochs.iter().map(|epoch| (epoch.reward_queries as f64, epoch.reward_mean)).collect();
    }
    records.evals.iter().filter_map(|eval| Some((queries(records, eval.epoch), value(eval, figure)?))).collect()
}

/// Reward queries until the end of an epoch.
pub fn queries(records: &Records, epoch: u64) -> f64 {
    let record = records.epochs.iter().find(|record| record.epoch == epoch);
    record.map_or(0.0, |record| record.reward_queries as f64)
}

fn value(eval: &EvalRecord, figure: &str) -> Option<f64> {
    let value = match figure {
        "reward" => Some(eval.reward_mean),
        "kl" => Some(eval.kl_to_base),
        "diversity" => Some(eval.diversity),
        "improved" => eval.improved,
        "as-asked" => eval.as_asked,
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

/// A model on the way, or a choice among pictures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Reward queries of training until then, or of a choice.
    pub queries: f64,
    /// The strength of the adapter.
    pub scale: f64,
    /// The mean reward.
    pub reward: f64,
    /// The share of pictures as asked for.
    pub as_asked: f64,
}

/// The most gained over the first point, which is the base model, with at least `share` of its pictures as asked for.
pub fn gain(points: &[Point], share: f64) -> Option<Point> {
    let base = points.first()?;
    let kept = points.iter().filter(|point| point.as_asked >= share * base.as_asked);
    let best = kept.max_by(|a, b| a.reward.total_cmp(&b.reward))?;
    Some(Point { reward: best.reward - base.reward, ..*best })
}
