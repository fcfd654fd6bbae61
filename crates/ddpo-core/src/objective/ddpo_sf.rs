//! DDPO with the score function.

use super::{LogProbTerms, Loss, Objective};
use crate::Result;

/// DDPO-SF (Black et al., arXiv 2305.13301, section 4.3): REINFORCE,
/// `E[Σ_t ∇ log p_θ(x_{t−1} | x_t, c) r]`. An unbiased gradient for one update on fresh samples, and for one only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdpoSf {
    /// Advantages are clipped to plus and minus this.
    pub advantage_clip: f64,
}

impl Default for DdpoSf {
    fn default() -> Self {
        Self { advantage_clip: 5.0 }
    }
}

impl Objective for DdpoSf {
    /// `mean(−A ℓ)`. Nothing is clipped, so the clip fraction is the share of ratios that are not 1: on fresh samples, 0.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let advantage = terms.advantage.clone().clamp(-self.advantage_clip, self.advantage_clip);
        Ok(Loss::new((-advantage * terms.new.clone()).mean()))
    }
}
