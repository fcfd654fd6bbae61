//! What a reward thinks of images, without a model.

use ddpo_core::{RewardBatch, RgbImage};
use ddpo_rewards::{RewardContext, RewardPlan, score_checked};

use crate::error::Result;
use crate::prompts::PromptList;
use crate::reward::with_hub;

/// Images that a reward sees at once; changes no value.
const BATCH: usize = 16;

/// One finite value an image.
///
/// # Errors
///
/// Fails when the reward cannot be made, or fails itself.
pub fn score(reward: &RewardPlan, images: &[RgbImage], prompts: &PromptList) -> Result<Vec<f32>> {
    let PromptList { texts, metadata } = prompts;
    let context = with_hub(RewardContext::default()).with_prompts(texts.clone(), metadata.clone());
    let judge = reward.open(&context)?;
    Ok(score_checked(&judge, &RewardBatch::new(images, texts).with_metadata(metadata), BATCH)?)
}
