//! Scoring: what a reward thinks of an epoch's pictures.

use std::collections::BTreeMap;

use ddpo_core::{Judge, PromptId, RewardBatch, RgbImage, Rollout, ScoredRollout};

use super::fork::ForkPolicy;
use super::trainer_core::TrainerCore;
use crate::error::{Error, Location, Result};
use crate::events::{Event, Progress, Stage};
use crate::non_finite::{BatchMembers, NonFiniteBatch};
use crate::observer::Observer;
use crate::plan::NonFinitePolicy;
use crate::prompts::EncodedPrompts;

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// The chains with their rewards.
    pub(super) fn score(
        &mut self,
        rollout: Rollout<D>,
        images: &[RgbImage],
        observer: &mut Observer<'_>,
    ) -> Result<ScoredRollout<D>> {
        let work = self.scoring(&self.parts.reward, rollout.epoch().0, self.plan.sample_batch);
        let Scores { rewards, left_out } = work.score(images, &self.parts.prompts, rollout.prompts(), observer)?;
        self.left_out.samples = left_out;
        Ok(rollout.score(rewards)?)
    }

    /// Scoring by `judge`, so many pictures at once, or a whole set.
    pub(super) fn scoring<'a>(&self, judge: &'a Judge, epoch: u64, batch: usize) -> Scoring<'a> {
        Scoring { judge, epoch, batch, non_finite: self.plan.non_finite }
    }
}

/// Pictures on their way through a reward, a batch at a time.
pub(super) struct Scoring<'a> {
    judge: &'a Judge,
    epoch: u64,
    batch: usize,
    non_finite: NonFinitePolicy,
}

/// One finite reward a picture.
pub(super) struct Scores {
    pub rewards: Vec<f32>,
    /// The pictures whose own reward is not finite: theirs is the mean of the others of their prompt, or of all.
    pub left_out: Vec<usize>,
}

impl Scoring<'_> {
    /// A reward a picture, each of the prompt of `ids` that is in its place.
    pub fn score(
        &self,
        images: &[RgbImage],
        prompts: &EncodedPrompts,
        ids: &[PromptId],
        observer: &mut Observer<'_>,
    ) -> Result<Scores> {
        let mut scores = Scores { rewards: vec![f32::NAN; images.len()], left_out: Vec::new() };
        let (prompts, metadata) = (&prompts.texts(ids), &prompts.metadata(ids));
        let all = RewardBatch::new(images, prompts).with_metadata(metadata);
        let batches = self.judge.batches(prompts, self.batch);
        let total = batches.len();
        for (i, rows) in batches.iter().enumerate() {
            observer.check(self.epoch)?;
            let selected = all.select(rows);
            let values = self.judge.score_batch(&selected.as_batch())?;
            scores.left_out.extend(self.check(&values, &selected.as_batch(), rows, observer)?);
            rows.iter().zip(values).for_each(|(&row, value)| scores.rewards[row] = value);
            observer.progress(Progress { stage: Stage::Scoring, epoch: self.epoch, done: i + 1, total });
        }
        scores.fill(prompts);
        // Where no reward is finite there is nothing to fill with.
        match scores.rewards.iter().position(|reward| !reward.is_finite()) {
            Some(row) => Err(self.error(scores.rewards[row], row, &prompts[row])),
            None => Ok(scores),
        }
    }

    /// The rows of the epoch whose reward is to be left out, of the `members` of a batch.
    fn check(
        &self,
        values: &[f32],
        batch: &RewardBatch<'_>,
        members: &[usize],
        observer: &mut Observer<'_>,
    ) -> Result<Vec<usize>> {
        let (found, wanted) = (values.len(), batch.prompts.len());
        if found != wanted {
            return Err(Error::Count { what: "rewards of a batch", found, wanted });
        }
        let rows: Vec<usize> = (0..wanted).filter(|&row| !values[row].is_finite()).collect();
        let error = |row: usize| self.error(values[row], members[row], &batch.prompts[row]);
        if let Some(&row) = rows.first() {
            let members = BatchMembers {
                error: error(row).to_string(),
                epoch: self.epoch,
                samples: members.to_vec(),
                prompts: batch.prompts.to_vec(),
                ..BatchMembers::default()
            };
            let batch_record = NonFiniteBatch::new(members).with_values("rewards", values).with_images(batch.images);
            observer.event(&Event::NonFinite(&batch_record));
            if self.non_finite == NonFinitePolicy::Fail {
                return Err(error(row));
            }
        }
        rows.iter().for_each(|&row| observer.event(&Event::Warning(&error(row))));
        Ok(rows.into_iter().map(|row| members[row]).collect())
    }

    fn error(&self, value: f32, sample: usize, prompt: &str) -> Error {
        let location = Location { sample: Some(sample), prompt: Some(prompt.to_owned()), ..Location::default() };
        Error::NonFinite { what: "the reward", value: value.into(), epoch: self.epoch, location }
    }
}

impl Scores {
    /// Puts a reward that moves no mean in the location of each which is left out.
    fn fill(&mut self, prompts: &[String]) {
        let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
        let mut all = (0.0, 0.0);
        for (&reward, prompt) in self.rewards.iter().zip(prompts).filter(|(reward, _)| reward.is_finite()) {
            let sum = sums.entry(prompt).or_default();
            for (total, count) in [sum, &mut all] {
                *total += f64::from(reward);
                *count += 1.0;
            }
        }
        for &row in &self.left_out {
            let (total, count) = sums.get(prompts[row].as_str()).copied().unwrap_or(all);
            self.rewards[row] = (total / count) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_moves_no_mean() {
        let prompts = ["a", "a", "b", "a", "c"].map(String::from);
        let rewards = vec![1.0, f32::NAN, 7.0, 3.0, f32::INFINITY];
        let mut scores = Scores { rewards, left_out: vec![1, 4] };
        scores.fill(&prompts);
        assert_eq!(scores.rewards, [1.0, 2.0, 7.0, 3.0, 11.0 / 3.0]);
    }
}
