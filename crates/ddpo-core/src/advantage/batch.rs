//! Advantages over all rewards of an epoch.

use super::contract::{Advantage, check};
use super::statistics::RewardStatistics;
use crate::{PromptId, Result};

/// Added to the standard deviation, as in the reference implementation without prompt tracking.
const EPSILON: f64 = 1e-8;

/// `(r − mean) / (std + 1e-8)` over the whole batch, whatever the prompts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchAdvantage;

impl Advantage for BatchAdvantage {
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        let moments = RewardStatistics::of(rewards.iter());
        Ok(rewards.iter().map(|&reward| moments.normalise(reward, EPSILON)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_the_populations() {
        let advantages = BatchAdvantage.advantages(&[PromptId(0), PromptId(1)], &[1.0, 3.0]).unwrap();
        assert_eq!(advantages, [-1.0, 1.0]);
    }

    #[test]
    fn equal_rewards_have_no_advantage() {
        assert_eq!(BatchAdvantage.advantages(&[PromptId(0); 3], &[0.5; 3]).unwrap(), [0.0; 3]);
    }

    #[test]
    fn as_many_prompts_as_rewards() {
        assert!(BatchAdvantage.advantages(&[PromptId(0)], &[1.0, 3.0]).is_err());
        assert!(BatchAdvantage.restore(vec![(PromptId(0), vec![1.0])]).is_err());
    }
}
