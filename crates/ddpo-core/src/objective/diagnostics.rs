//! How far a policy has moved from the one that drew the samples.

/// The usual diagnostics of a policy-gradient update, over one minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Diagnostics {
    /// ½ mean((ℓ − ℓ_old)²).
    pub approx_kl: f32,
    /// The share of actions whose ratio is outside of the clip range.
    pub clip_fraction: f32,
    /// max |ratio − 1|; exactly 0 before the first update of an epoch.
    pub ratio_max_deviation: f32,
}

impl Diagnostics {
    /// Compares new and old log-probabilities, one each of every action, in f64; `clip_range` is the
    /// [objective's](super::Objective::clip_range).
    pub fn of(new: &[f32], old: &[f32], clip_range: f64) -> Self {
        let differences = || new.iter().zip(old).map(|(new, old)| f64::from(*new) - f64::from(*old));
        let deviations = || differences().map(|difference| (difference.exp() - 1.0).abs());
        let n = new.len().max(1) as f64;
        let squares: f64 = differences().map(|difference| difference.powi(2)).sum();
        let clipped = deviations().filter(|deviation| *deviation > clip_range).count();
        Self {
            approx_kl: (0.5 * squares / n) as f32,
            clip_fraction: (clipped as f64 / n) as f32,
            ratio_max_deviation: deviations().fold(0.0, f64::max) as f32,
        }
    }
}
