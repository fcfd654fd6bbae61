//! Rewards that do as they are told.

use std::collections::VecDeque;
use std::sync::Mutex;

use ddpo_core::{Error, Result, Reward, RewardBatch};

/// A reward that answers each batch with the next entry of a script, values or a failure, and fails when the script is over.
#[derive(Debug)]
pub struct ScriptedReward {
    script: Mutex<VecDeque<Result<Vec<f32>, String>>>,
}

impl ScriptedReward {
    /// A reward with these answers.
    pub fn new(script: impl IntoIterator<Item = Result<Vec<f32>, String>>) -> Self {
        Self { script: Mutex::new(script.into_iter().collect()) }
    }
}

impl Reward for ScriptedReward {
    fn name(&self) -> &str {
        "scripted"
    }

    fn score(&self, _: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let next = self.script.lock().map_err(|_| Error::reward(self.name(), "the script is poisoned"))?.pop_front();
        let answer = next.ok_or_else(|| Error::reward(self.name(), "the script is over"))?;
        answer.map_err(|reason| Error::reward(self.name(), reason))
    }
}

/// The mean byte of an image over 255.
#[derive(Clone, Copy, Debug, Default)]
pub struct MeanBrightness;

impl Reward for MeanBrightness {
    fn name(&self) -> &str {
        "mean-brightness"
    }

    fn score(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let mean = |pixels: &[u8]| pixels.iter().map(|&byte| f64::from(byte)).sum::<f64>() / pixels.len().max(1) as f64;
        Ok(batch.images.iter().map(|image| (mean(image.pixels()) / 255.0) as f32).collect())
    }
}
