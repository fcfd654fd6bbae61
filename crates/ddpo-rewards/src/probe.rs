//! The question whether a reward works at all.

use ddpo_core::{RewardBatch, RgbImage};

use crate::{Error, Result};

/// Side of the picture of a probe, in pixels.
const SIDE: u32 = 64;

/// Asks about one grey picture, which must get one number; which one does not matter.
pub fn probe_batch(prompt: &str, ask: impl FnOnce(&RewardBatch<'_>) -> Result<Vec<f32>>) -> Result<()> {
    let image = RgbImage::new(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize])?;
    let found = ask(&RewardBatch { images: &[image], prompts: &[prompt.to_owned()] })?.len();
    if found == 1 { Ok(()) } else { Err(Error::Count { found, wanted: 1 }) }
}
