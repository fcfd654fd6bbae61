//! Weights that grow exponentially with the reward.

use super::contract::{Weighting, check};
use crate::{Error, Grouping, PromptId, Result};

/// Reward-weighted regression (Peters and Schaal 2007; Black et al., arXiv 2305.13301, section 4.2):
/// `w = N softmax(β r)` over the N samples of the round, or of the prompt. The mean weight is 1, so that the learning rate
/// means the same for every β.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftmaxWeights {
    beta: f64,
    grouping: Grouping,
}

impl SoftmaxWeights {
    /// Weights of inverse temperature `beta`.
    ///
    /// # Errors
    /// [`Error::Parameter`] if β is negative or not finite: it would prefer the worst samples, or none.
    pub fn new(beta: f64, grouping: Grouping) -> Result<Self> {
        match beta.is_finite() && beta >= 0.0 {
            true => Ok(Self { beta, grouping }),
            false => Err(Error::parameter("beta", beta, "a finite number of at least 0")),
        }
    }
}

impl Weighting for SoftmaxWeights {
    fn weights(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        let mut weights = vec![0.0; rewards.len()];
        for rows in self.grouping.rows(prompts) {
            let scaled: Vec<f64> = rows.iter().map(|&row| self.beta * f64::from(rewards[row])).collect();
            // The largest exponent becomes 0, so that nothing overflows.
            let largest = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = scaled.iter().map(|value| (value - largest).exp()).collect();
            let scale = rows.len() as f64 / powers.iter().sum::<f64>();
            rows.iter().zip(powers).for_each(|(&row, power)| weights[row] = (scale * power) as f32);
        }
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPTS: [PromptId; 4] = [PromptId(1), PromptId(0), PromptId(1), PromptId(0)];

    fn weights(beta: f64, grouping: Grouping, rewards: [f32; 4]) -> Vec<f32> {
        SoftmaxWeights::new(beta, grouping).unwrap().weights(&PROMPTS, &rewards).unwrap()
    }

    #[test]
    fn the_mean_weight_is_one_and_the_ratio_is_the_exponential_of_the_difference() {
        let weights = weights(0.2, Grouping::Epoch, [-3.0, 1.0, 2.0, 10.0]);
        assert!((weights.iter().sum::<f32>() - 4.0).abs() < 1e-5, "{weights:?}");
        assert!((weights[2] / weights[0] - 1f32.exp()).abs() < 1e-5, "{weights:?}");
    }

    #[test]
    fn prompts_do_not_see_each_other() {
        let weights = weights(1.0, Grouping::Prompt, [0.0, 100.0, 0.0, 100.0]);
        assert_eq!(weights, [1.0; 4]);
    }

    #[test]
    fn large_rewards_do_not_overflow_and_no_temperature_prefers_nothing() {
        assert_eq!(weights(1.0, Grouping::Epoch, [1e30, 0.0, 0.0, 0.0]), [4.0, 0.0, 0.0, 0.0]);
        assert_eq!(weights(0.0, Grouping::Epoch, [1e30, 0.0, -1.0, 5.0]), [1.0; 4]);
        assert!(
            SoftmaxWeights::new(-0.1, Grouping::Epoch).is_err()
                && SoftmaxWeights::new(f64::NAN, Grouping::Epoch).is_err()
        );
    }
}
