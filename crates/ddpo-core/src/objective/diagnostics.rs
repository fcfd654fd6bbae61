//! How far a policy has moved from the one that drew the samples.

use burn::Tensor;

use super::LogProbTerms;
use crate::Result;
use crate::rows::read;

/// The usual diagnostics of a policy-gradient update, over one minibatch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Diagnostics {
    /// ½ mean((ℓ − ℓ_old)²).
    pub approx_kl: f32,
    /// The share of pairs whose ratio is outside of the clip range.
    pub clip_fraction: f32,
    /// max |ratio − 1|; exactly 0 before the first update of an epoch.
    pub ratio_max_deviation: f32,
}

impl Diagnostics {
    /// Compares new and old log-probabilities. The numbers are computed on the host, from tensors that hold a minibatch only.
    pub(super) fn measure(terms: &LogProbTerms<'_>, clip_range: f64) -> Result<Self> {
        let (new, old): (Tensor<1>, Tensor<1>) = (terms.new.clone(), terms.old.clone());
        let pairs: Vec<(f32, f32)> = read(new)?.into_iter().zip(read(old)?).collect();
        let deviations: Vec<f64> =
            pairs.iter().map(|(new, old)| ((f64::from(*new) - f64::from(*old)).exp() - 1.0).abs()).collect();
        let n = pairs.len().max(1) as f64;
        let squares: f64 = pairs.iter().map(|(new, old)| (f64::from(*new) - f64::from(*old)).powi(2)).sum();
        let clipped = deviations.iter().filter(|deviation| **deviation > clip_range).count();
        Ok(Self {
            approx_kl: (0.5 * squares / n) as f32,
            clip_fraction: (clipped as f64 / n) as f32,
            ratio_max_deviation: deviations.iter().fold(0.0, |max: f64, deviation| max.max(*deviation)) as f32,
        })
    }
}
