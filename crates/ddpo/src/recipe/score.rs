//! What a reward thinks of images, without a model.

use ddpo_core::{RewardBatch, RgbImage};
use ddpo_rewards::{RewardContext, RewardPlan, score_checked};

use crate::error::Result;
use crate::reward::with_hub;

/// Images that a reward sees at once; changes no value.
const BATCH: usize = 16;

/// One finite value an image.
///
/// # Errors
///
/// Fails when the reward cannot be made, or fails itself.
pub fn score(reward: &RewardPlan, images: &[RgbImage], prompts: &[String]) -> Result<Vec<f32>> {
    let judge = reward.open(&with_hub(RewardContext::default()))?;
    Ok(score_checked(&judge, &RewardBatch { images, prompts }, BATCH)?)
}
