//! The contract of a reward.

use crate::{Result, RgbImage};

/// What a reward sees: images and the prompts they were made for, nothing else.
#[derive(Clone, Copy, Debug)]
pub struct RewardBatch<'a> {
    /// The images.
    pub images: &'a [RgbImage],
    /// The prompt of each image, as many as images.
    pub prompts: &'a [String],
}

/// What the policy is to maximise. It sees a batch, so that a reward of a set (diversity) fits as well.
///
/// ```text
/// let rewards = reward.score(&RewardBatch { images: &images, prompts: &prompts })?;
/// let scored = rollout.score(rewards)?;
/// ```
pub trait Reward: Send + Sync {
    /// The name, as it appears in metrics.
    fn name(&self) -> &str;

    /// One finite number per image; higher is better.
    ///
    /// # Errors
    /// Whatever the reward reports, as [`Error::Reward`](crate::Error::Reward).
    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>>;
}

impl<R: Reward + ?Sized> Reward for Box<R> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        (**self).score(batch)
    }
}
