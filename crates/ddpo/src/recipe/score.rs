//! What a reward thinks of images.

use ddpo_core::{RewardBatch, RgbImage};

use crate::error::Result;
use crate::reward::RewardName;

/// One value an image.
///
/// # Errors
///
/// Fails when the reward cannot be made, or fails itself.
pub fn score(reward: &RewardName, images: &[RgbImage], prompts: &[String]) -> Result<Vec<f32>> {
    Ok(reward.open()?.score(&RewardBatch { images, prompts })?)
}
