//! Chains with their rewards.

use crate::error::check_count;
use crate::{Error, PromptId, Result, Rollout};

/// Chains, each with a finite reward.
#[derive(Clone, Debug)]
pub struct ScoredRollout<const D: usize> {
    pub(super) rollout: Rollout<D>,
    rewards: Vec<f32>,
}

impl<const D: usize> Rollout<D> {
    /// The rewards of the chains, one each, in order.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer, [`Error::NonFiniteReward`] if one is NaN or infinite.
    pub fn score(self, rewards: Vec<f32>) -> Result<ScoredRollout<D>> {
        check_count("score a rollout", "rewards", rewards.len(), self.len())?;
        match rewards.iter().position(|reward| !reward.is_finite()) {
            Some(row) => {
                Err(Error::NonFiniteReward { epoch: self.epoch(), sample: self.samples()[row], value: rewards[row] })
            }
            None => Ok(ScoredRollout { rollout: self, rewards }),
        }
    }
}

impl<const D: usize> ScoredRollout<D> {
    /// The chains.
    pub fn rollout(&self) -> &Rollout<D> {
        &self.rollout
    }

    /// The prompt of each chain.
    pub fn prompts(&self) -> &[PromptId] {
        self.rollout.prompts()
    }

    /// The reward of each chain.
    pub fn rewards(&self) -> &[f32] {
        &self.rewards
    }
}
