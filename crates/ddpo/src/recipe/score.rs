//! What a reward thinks of images, with a model or without.

use ddpo_core::{Assessment, RewardBatch, RgbImage};
use ddpo_rewards::{Finding, RewardContext, RewardPlan, assess_checked, check_conformance};

use crate::error::Result;
use crate::prompts::PromptList;
use crate::reward::with_hub;

use super::loaded::LoadedModel;
use super::rewards::context_of;

/// Images that a reward sees at once; changes no value.
const BATCH: usize = 16;

/// One finite value an image, or NaN for one that the reward's own policy leaves out, and what else the reward says.
///
/// A reward that asks a model, or the judge that is shipped with one, asks `model`.
///
/// # Errors
///
/// Fails when the reward cannot be made, as one that asks a model where there is none, or fails itself.
pub fn score(
    reward: &RewardPlan,
    model: Option<&LoadedModel>,
    images: &[RgbImage],
    prompts: &PromptList,
) -> Result<Assessment> {
    let PromptList { texts, metadata } = prompts;
    let context = match model {
        Some(model) => context_of(model.base(), prompts.clone()),
        None => with_hub(RewardContext::default()).with_prompts(texts.clone(), metadata.clone()),
    };
    reward.check_context(&context)?;
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
