//! Mean and population standard deviation, in f64.

/// The first two moments of a set of rewards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RewardStatistics {
    mean: f64,
    std: f64,
}

impl RewardStatistics {
    /// The moments of these values; zeros for none.
    pub(super) fn of<'a>(values: impl ExactSizeIterator<Item = &'a f32> + Clone) -> Self {
        let n = values.len().max(1) as f64;
        let mean = values.clone().map(|&value| f64::from(value)).sum::<f64>() / n;
        let variance = values.map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / n;
        Self { mean, std: variance.sqrt() }
    }

    /// The same mean, with the standard deviation of `others`.
    pub(super) fn with_std_of(self, others: Self) -> Self {
        Self { std: others.std, ..self }
    }

    /// `(value − mean) / (std + epsilon)`.
    pub(super) fn normalise(self, value: f32, epsilon: f64) -> f32 {
        ((f64::from(value) - self.mean) / (self.std + epsilon)) as f32
    }
}
