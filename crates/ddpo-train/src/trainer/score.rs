//! Scoring: what a reward thinks of an epoch's pictures.

use ddpo_core::{Reward, RewardBatch, RgbImage, Rollout, ScoredRollout};

use super::fork::ForkPolicy;
use super::workshop::Workshop;
use crate::error::{Error, Place, Result};
use crate::events::{Progress, Stage};
use crate::observer::Observer;

impl<P: ForkPolicy<D>, const D: usize> Workshop<P, D> {
    /// The chains with their rewards.
    pub(super) fn score(
        &self,
        rollout: Rollout<D>,
        images: &[RgbImage],
        observer: &mut Observer<'_>,
    ) -> Result<ScoredRollout<D>> {
        let prompts = self.parts.prompts.texts(rollout.prompts());
        let work = Scoring { reward: &*self.parts.reward, epoch: rollout.epoch().0, batch: self.plan.sample_batch };
        let rewards = work.score(images, &prompts, observer)?;
        Ok(rollout.score(rewards)?)
    }
}

/// Pictures on their way through a reward, a batch at a time.
pub(super) struct Scoring<'a> {
    pub reward: &'a dyn Reward,
    pub epoch: u64,
    pub batch: usize,
}

impl Scoring<'_> {
    /// One finite reward per picture.
    pub fn score(&self, images: &[RgbImage], prompts: &[String], observer: &mut Observer<'_>) -> Result<Vec<f32>> {
        let mut rewards = Vec::with_capacity(images.len());
        let total = images.len().div_ceil(self.batch);
        for (i, (images, prompts)) in images.chunks(self.batch).zip(prompts.chunks(self.batch)).enumerate() {
            observer.check(self.epoch)?;
            let values = self.reward.score(&RewardBatch { images, prompts })?;
            self.check(&values, prompts, i * self.batch)?;
            rewards.extend(values);
            observer.progress(Progress { stage: Stage::Scoring, epoch: self.epoch, done: i + 1, total });
        }
        Ok(rewards)
    }

    fn check(&self, values: &[f32], prompts: &[String], first: usize) -> Result<()> {
        if values.len() != prompts.len() {
            return Err(Error::Count { what: "rewards of a batch", found: values.len(), wanted: prompts.len() });
        }
        let Some(row) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let place = Place { sample: Some(first + row), prompt: prompts.get(row).cloned(), ..Place::default() };
        Err(Error::NonFinite { what: "the reward", value: values[row].into(), epoch: self.epoch, place })
    }
}
