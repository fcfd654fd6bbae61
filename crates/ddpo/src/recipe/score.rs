//! What a reward thinks of images, without a model.

use ddpo_core::{Assessment, RewardBatch, RgbImage};
use ddpo_rewards::{Finding, RewardContext, RewardPlan, assess_checked, check_conformance};

use crate::error::Result;
use crate::prompts::PromptList;
use crate::reward::with_hub;

/// Images that a reward sees at once; changes no value.
const BATCH: usize = 16;

/// One finite value an image, or NaN for one that the reward's own policy leaves out, and what else the reward says.
///
/// # Errors
///
/// Fails when the reward cannot be made, or fails itself.
pub fn score(reward: &RewardPlan, images: &[RgbImage], prompts: &PromptList) -> Result<Assessment> {
    let PromptList { texts, metadata } = prompts;
    let context = with_hub(RewardContext::default()).with_prompts(texts.clone(), metadata.clone());
    let judge = reward.open(&context)?;
    Ok(assess_checked(&judge, &RewardBatch::new(images, texts).with_metadata(metadata), BATCH)?)
}

/// Whether a reward keeps the protocol and what training asks of it: `on_finding` hears of each law. The number of those that it
/// breaks.
///
/// # Errors
///
/// Fails when the reward cannot be made.
pub fn check_reward(reward: &RewardPlan, on_finding: &mut dyn FnMut(&Finding)) -> Result<usize> {
    let judge = reward.open(&with_hub(RewardContext::default()))?;
    Ok(check_conformance(&judge, on_finding))
}
