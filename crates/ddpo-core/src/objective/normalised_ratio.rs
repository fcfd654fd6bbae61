//! Importance sampling by ratios that have the same scale at every step.

use super::{LogProbTerms, Loss, Needs, Objective};
use crate::Result;

/// GRPO-Guard (arXiv 2510.22319): the clipped surrogate of [`DdpoIs`](super::DdpoIs) with
///
/// `log ρ̃ = σ_t (ℓ − ℓ_old + KL(π_old ‖ π))`,
///
/// which is `mean(z ⊙ Δμ)` for the noise z that drew the action and Δμ, how far its mean has moved since. So the old policy's actions
/// have log-ratios around 0, where plain ones lie below it by the divergence, and steps of small σ have no larger ones than others: the same
/// clip range binds at all of them, and on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormalisedRatio {
    /// c: ratios are clipped to `[1 − c, 1 + c]`.
    pub clip_range: f64,
    /// Advantages are clipped to plus and minus this.
    pub advantage_clip: f64,
}

impl Default for NormalisedRatio {
    /// GRPO-Guard's clip range, for the mean log-probability over elements.
    fn default() -> Self {
        Self { clip_range: 2e-6, advantage_clip: 5.0 }
    }
}

impl Objective for NormalisedRatio {
    fn needs(&self) -> Needs {
        Needs { steps: true, ..Needs::default() }
    }

    fn clip_range(&self) -> f64 {
        self.clip_range
    }

    /// `mean(max(−A ρ̃, −A clip(ρ̃, 1 − c, 1 + c)))`. What is clipped is judged by the logarithm, which has more digits near 1.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let steps = terms.needed_steps()?;
        let advantage = terms.advantage.clone().clamp(-self.advantage_clip, self.advantage_clip);
        let log_ratio = (terms.new.clone() - terms.old.clone() + steps.kl_to_old.clone()) * steps.std.clone();
        let (low, high) = ((1.0 - self.clip_range).ln(), (1.0 + self.clip_range).ln());
        let clipped = log_ratio.clone().clamp(low, high);
        let is_clipped = clipped.clone().inner().not_equal(log_ratio.clone().inner()).float().mean();
        let surrogate = (-advantage.clone() * log_ratio.exp()).max_pair(-advantage * clipped.exp());
        Ok(Loss { clipped: Some(is_clipped), ..Loss::new(surrogate.mean()) })
    }
}
