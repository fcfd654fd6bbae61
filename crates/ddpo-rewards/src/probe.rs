//! The question whether a reward works at all.

use std::sync::Arc;

use ddpo_core::{PromptMetadata, RewardBatch, RgbImage};

use crate::{Error, Result, RewardContext};

/// Side of the picture of a probe, in pixels.
const SIDE: u32 = 64;

/// Asks about one grey picture of the first prompt there is, which must get one number; which one does not matter.
pub fn probe(context: &RewardContext, ask: impl FnOnce(&RewardBatch<'_>) -> Result<Vec<f32>>) -> Result<()> {
    let image = RgbImage::new(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize])?;
    let prompt = context.prompts.first().cloned().unwrap_or_default();
    let metadata: Vec<Arc<PromptMetadata>> = context.metadata.first().cloned().into_iter().collect();
    let found = ask(&RewardBatch::new(&[image], &[prompt]).with_metadata(&metadata))?.len();
    if found == 1 { Ok(()) } else { Err(Error::Count { found, wanted: 1 }) }
}
