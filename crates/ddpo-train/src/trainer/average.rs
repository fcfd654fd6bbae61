//! A moving average of what learns.

use ddpo_core::Policy;

use super::fork::ForkPolicy;
use super::trainer_core::TrainerCore;
use crate::error::Result;

/// The share of an average that is kept at the optimizer step `step`, from 1: `min(decay, (1 + step)/(10 + step))`, as diffusers' and
/// Flow-GRPO's averages begin, so that the first policies are soon forgotten.
fn kept(decay: f64, step: u64) -> f64 {
    let step = step as f64;
    decay.min((1.0 + step) / (10.0 + step))
}

/// Moves `average` to `keep · average + (1 − keep) · policy`.
pub(super) fn follow<P: Policy<D>, const D: usize>(average: &mut P, policy: &P, keep: f64) -> Result<()> {
    let pairs = average.parameters().into_iter().zip(policy.parameters());
    let mean = pairs.map(|(old, new)| old.value.inner().mul_scalar(keep) + new.value.inner().mul_scalar(1.0 - keep));
    let values = mean.collect();
    Ok(average.set_parameters(values)?)
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// What is evaluated and handed back: the average, where there is one, else the policy.
    pub fn product(&self) -> &P {
        self.average.as_ref().unwrap_or(&self.parts.policy)
    }

    /// Lets the average, where there is one, follow the policy after an optimizer step.
    pub fn average_follows(&mut self, step: u64) -> Result<()> {
        let (Some(average), Some(decay)) = (&mut self.average, self.parts.average_decay) else { return Ok(()) };
        follow(average, &self.parts.policy, kept(decay, step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_kept_rises_to_the_decay() {
        assert_eq!([1, 8, 1_000_000].map(|step| kept(0.9, step)), [2.0 / 11.0, 0.5, 0.9]);
        assert_eq!(kept(0.0, 5), 0.0);
    }
}
