//! Chains with their rewards.

use super::training_set::TrainingSet;
use crate::error::check_count;
use crate::{Error, PromptId, Result, Rollout};

/// Chains, each with a finite reward.
#[derive(Clone, Debug)]
pub struct ScoredRollout<const D: usize> {
    rollout: Rollout<D>,
    rewards: Vec<f32>,
}

impl<const D: usize> ScoredRollout<D> {
    pub(super) fn new(rollout: Rollout<D>, rewards: Vec<f32>) -> Result<Self> {
        check_count("score a rollout", "rewards", rewards.len(), rollout.len())?;
        match rewards.iter().position(|reward| !reward.is_finite()) {
            Some(row) => Err(Error::NonFiniteReward {
                epoch: rollout.epoch(),
                sample: rollout.samples()[row],
                value: rewards[row],
            }),
            None => Ok(Self { rollout, rewards }),
        }
    }

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

    /// The chains with their advantages, one each, ready for training.
    ///
    /// # Errors
    /// [`Error::Count`] if there are more or fewer.
    pub fn into_training_set(self, advantages: Vec<f32>) -> Result<TrainingSet<D>> {
        TrainingSet::new(self.rollout, advantages)
    }
}
