//! The contract of an advantage estimator.

use crate::error::check_count;
use crate::{PromptId, Result};

/// What an estimator remembers from epoch to epoch: the latest rewards of each prompt, oldest first, in the order of prompts.
/// Empty for estimators without a memory. It belongs in a checkpoint.
pub type AdvantageState = Vec<(PromptId, Vec<f32>)>;

/// Whose standard deviation the distance of a reward from its peers' mean is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deviation {
    /// That of the peers themselves: every prompt counts as much as any other, however little its samples differ.
    #[default]
    Peers,
    /// That of all rewards of the epoch, as in Flow-GRPO (Liu et al., arXiv 2505.05470), whose code calls it the global std: a
    /// prompt whose samples are all alike, and differ by chance, has little to say.
    Epoch,
}

/// Normalises rewards, so that learning rates do not depend on their scale and some samples are always worse than others.
///
/// ```
/// # use ddpo_core::advantage::BatchAdvantage;
/// # use ddpo_core::{Advantage, PromptId};
/// let advantages = BatchAdvantage.advantages(&[PromptId(0), PromptId(1)], &[1.0, 3.0])?;
/// assert_eq!(advantages, [-1.0, 1.0]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait Advantage: Send + Sync {
    /// One advantage per reward, in order. Each reward belongs to the prompt at its position.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if there are not as many prompts as rewards, and what an estimator requires
    /// beyond.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>>;

    /// What must be saved to continue.
    fn state(&self) -> AdvantageState {
        AdvantageState::new()
    }

    /// Continues from a saved state.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if this estimator has no memory and the state is not empty.
    fn restore(&mut self, state: AdvantageState) -> Result<()> {
        check_count("restore an advantage estimator without memory", "prompts", state.len(), 0)
    }
}

pub(super) fn check(prompts: &[PromptId], rewards: &[f32]) -> Result<()> {
    check_count("compute advantages", "prompts", prompts.len(), rewards.len())
}
