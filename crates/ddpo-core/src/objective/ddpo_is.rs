//! DDPO with importance sampling.

use super::{LogProbTerms, Loss, Objective};
use crate::Result;

/// DDPO-IS (Black et al., arXiv 2305.13301, section 4.3): the importance-weighted policy gradient
/// `E[Σ_t p_θ/p_θold ∇ log p_θ(x_{t−1} | x_t, c) r]`, kept near the old policy by the clipped surrogate of PPO
/// (arXiv 1707.06347, equation 7).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdpoIs {
    /// c: ratios are clipped to `[1 − c, 1 + c]`.
    pub clip_range: f64,
    /// Advantages are clipped to plus and minus this.
    pub advantage_clip: f64,
}

impl Default for DdpoIs {
    /// The reference implementation's values, for the mean log-probability over elements.
    fn default() -> Self {
        Self { clip_range: 1e-4, advantage_clip: 5.0 }
    }
}

impl Objective for DdpoIs {
    fn clip_range(&self) -> f64 {
        self.clip_range
    }

    /// `mean(max(−A ρ, −A clip(ρ, 1 − c, 1 + c)))` with `ρ = exp(ℓ − ℓ_old)`.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let advantage = terms.advantage.clone().clamp(-self.advantage_clip, self.advantage_clip);
        let ratio = (terms.new.clone() - terms.old.clone()).exp();
        let unclipped = -advantage.clone() * ratio.clone();
        let clipped = -advantage * ratio.clamp(1.0 - self.clip_range, 1.0 + self.clip_range);
        Ok(Loss::new(unclipped.max_pair(clipped).mean()))
    }
}
