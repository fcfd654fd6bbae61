//! Scoring: an epoch's pictures and what a reward thinks of them, one while the other.

use ddpo_core::{Address, Epoch, RgbImage, SampleId, ScoredRollout, Stream};

use super::evidence::Evidence;
use super::fork::ForkPolicy;
use super::scorers::{Scorers, Share};
use super::scores::{Scores, tell};
use super::trainer_core::{TrainerCore, timed};
use crate::error::Result;
use crate::events::Stage;
use crate::observer::Observer;
use crate::record::EpochRecord;

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// An epoch's chains with their rewards, and their pictures. A batch is scored while the next ones are sampled.
    pub(super) fn sample_and_score(
        &mut self,
        epoch: Epoch,
        record: &mut EpochRecord,
        observer: &mut Observer<'_>,
    ) -> Result<(ScoredRollout<D>, Vec<RgbImage>)> {
        let (judge, prompts) = (&self.task(epoch).reward, &self.parts.prompts);
        record.task = self.has_tasks().then(|| self.task(epoch).name.clone());
        let (rollout, images, said, evidence) = std::thread::scope(|scope| {
            let (batch, policy) = (self.plan.sample_batch, self.plan.non_finite);
            let share = Share { ranks: &self.parts.ranks, rows: self.share_of_samples() };
            let mut scorers = Scorers::start(scope, vec![judge], epoch.0, batch, policy, share);
            let sampled = timed(&mut record.sample_seconds, || {
                self.sample(epoch, observer, &mut |images, ids| scorers.put(images, prompts, ids))
            });
            let scored = sampled.and_then(|(rollout, images)| {
                let finish = || scorers.finish(&images, prompts, rollout.prompts(), observer);
                let said = timed(&mut record.reward_seconds, finish)?;
                Ok((rollout, images, said))
            });
            scorers.evidence.tell(observer);
            record.reward_busy_seconds = scorers.busy.as_secs_f64();
            let evidence = std::mem::replace(&mut scorers.evidence, Evidence::new(epoch.0, policy));
            scored.map(|(rollout, images, said)| (rollout, images, said, evidence))
        })?;
        let texts = prompts.texts(rollout.prompts());
        let said = said.into_iter().next().unwrap_or_default();
        tell(judge.name(), &said, epoch.0, Stage::Sampling, &texts, observer);
        let scores = Scores::new(said, &evidence, epoch.0, &texts)?;
        self.describe(&scores, record);
        let Scores { optimised, terms, left_out, .. } = scores;
        self.left_out.samples = left_out;
        let rewards = self.decisive(optimised, &terms, epoch);
        Ok((rollout.score(rewards)?, images))
    }

    /// What samples are compared by: what training maximises, or one term of it, which is drawn once for all samples that are
    /// compared with each other.
    fn decisive(&self, optimised: Vec<f32>, terms: &[Vec<f32>], epoch: Epoch) -> Vec<f32> {
        let Some(size) = self.plan.samples_per_term.filter(|_| !terms.is_empty()) else { return optimised };
        let term = |row: usize| {
            let sample = SampleId((row / size) as u64);
            let address = Address { stream: Stream::RewardTerm, epoch, sample, step: 0 };
            self.noise().at(address).index(terms.len())
        };
        (0..optimised.len()).map(|row| terms[term(row)][row]).collect()
    }
}
