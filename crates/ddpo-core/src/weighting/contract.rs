//! The contract of a weighting.

use crate::error::check_count;
use crate::{PromptId, Result};

/// What a weighting remembers from round to round: the latest rewards of each prompt, oldest first, in the order of
/// prompts. Empty for weightings without a memory. It belongs in a checkpoint.
pub type WeightingState = Vec<(PromptId, Vec<f32>)>;

/// Turns rewards into the weights of a regression, none of them negative; a sample of weight 0 is not trained on.
///
/// ```
/// # use ddpo_core::weighting::SoftmaxWeights;
/// # use ddpo_core::{Grouping, PromptId, Weighting};
/// let mut weighting = SoftmaxWeights::new(0.2, Grouping::Epoch)?;
/// let weights = weighting.weights(&[PromptId(0), PromptId(1)], &[5.0, 5.0])?;
/// assert_eq!(weights, [1.0, 1.0]); // the mean of an epoch is 1
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait Weighting: Send + Sync {
    /// One weight per reward, in order. Each reward belongs to the prompt at its position.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if there are not as many prompts as rewards.
    fn weights(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>>;

    /// What must be saved to continue.
    fn state(&self) -> WeightingState {
        WeightingState::new()
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if this weighting has no memory and the state is not empty.
    fn restore(&mut self, state: WeightingState) -> Result<()> {
        check_count("restore a weighting without memory", "prompts", state.len(), 0)
    }
}

pub(super) fn check(prompts: &[PromptId], rewards: &[f32]) -> Result<()> {
    check_count("compute weights", "prompts", prompts.len(), rewards.len())
}
