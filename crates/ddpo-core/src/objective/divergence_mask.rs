//! Importance sampling with a trust region of the exact divergence.

use super::{LogProbTerms, Loss, Needs, Objective};
use crate::Result;

/// Flow-DPPO (arXiv 2606.11025): no ratio is clipped. An action is left out where the policy's step has moved from the old one's by
/// at least `most` and the action would move it farther: `ρ > 1` and `A > 0`, or `ρ < 1` and `A < 0`.
///
/// A clip range judges a step by the one action that was drawn; the divergence is the step's own, whatever was drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DivergenceMask {
    /// The divergence of a step from the old policy's from which on it goes no farther; as log-probabilities, a mean or a sum over
    /// elements.
    pub most: f64,
    /// Advantages are clipped to plus and minus this.
    pub advantage_clip: f64,
}

impl Default for DivergenceMask {
    /// Flow-DPPO's threshold, for means over elements.
    fn default() -> Self {
        Self { most: 1e-5, advantage_clip: 5.0 }
    }
}

impl Objective for DivergenceMask {
    fn needs(&self) -> Needs {
        Needs { steps: true, ..Needs::default() }
    }

    /// `mean(−A ρ)` over all actions, those that are left out as 0.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss> {
        terms.check()?;
        let steps = terms.needed_steps()?;
        let advantage = terms.advantage.clone().clamp(-self.advantage_clip, self.advantage_clip);
        let log_ratio = terms.new.clone() - terms.old.clone();
        let is_far = steps.kl_to_old.clone().inner().greater_equal_elem(self.most).float();
        let goes_on = (log_ratio.clone().inner() * advantage.clone()).greater_elem(0.0).float();
        let is_left_out = is_far * goes_on;
        let kept = is_left_out.clone().mul_scalar(-1.0).add_scalar(1.0);
        let value = (-advantage * log_ratio.exp() * kept).mean();
        Ok(Loss { clipped: Some(is_left_out.mean()), ..Loss::new(value) })
    }
}
