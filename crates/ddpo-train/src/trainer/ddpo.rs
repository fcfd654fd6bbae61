//! Denoising diffusion policy optimization (Black et al., arXiv 2305.13301, section 4.3) in one screen.

use std::time::Instant;

use ddpo_core::{Epoch, ScoredRollout, TrainingSet};

use super::fork::ForkPolicy;
use super::parts::DdpoParts;
use crate::error::Result;
use crate::events::{EpochRecord, Record};
use crate::lanes::Lanes;
use crate::observer::Observer;
use crate::optimizer::AdamW;
use crate::plan::DdpoPlan;

/// Trains a policy by DDPO, an epoch at a time.
///
/// Every random choice is a function of the seed, the epoch and the sample, so nothing but parameters, moments,
/// remembered rewards and counters makes up its state.
pub struct DdpoTrainer<P, const D: usize> {
    pub(super) plan: DdpoPlan,
    pub(super) parts: DdpoParts<P, D>,
    pub(super) optimizer: AdamW,
    pub(super) counters: Counters,
    pub(super) lanes: Lanes,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Epochs done.
    pub epochs: u64,
    /// Optimizer steps done.
    pub updates: u64,
    /// Rewards asked for in training.
    pub reward_queries: u64,
    /// The epochs done at the last evaluation, plus 1; 0 for none.
    pub evaluated: u64,
}

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) where the plan's numbers do not fit each other,
    /// [`Error::Threads`](crate::Error::Threads) where there are no threads for its lanes.
    pub fn new(plan: DdpoPlan, parts: DdpoParts<P, D>) -> Result<Self> {
        plan.validate()?;
        let (optimizer, lanes) = (AdamW::new(plan.adamw), Lanes::new(plan.lanes)?);
        Ok(Self { plan, parts, optimizer, counters: Counters::default(), lanes })
    }

    /// One epoch of algorithm 1: sample, score, advantages, update.
    ///
    /// # Errors
    /// Those of the parts, [`Error::NonFinite`](crate::Error::NonFinite) for a reward, loss or gradient,
    /// [`Error::Interrupted`](crate::Error::Interrupted). The trainer is then in the middle of an epoch: restore a
    /// snapshot before going on.
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let epoch = Epoch(self.counters.epochs + 1);
        let mut record = EpochRecord { epoch: epoch.0, ..EpochRecord::default() };

        let (rollout, images) = timed(&mut record.sample_seconds, || self.sample(epoch, observer))?;
        let scored = timed(&mut record.reward_seconds, || self.score(rollout, &images, observer))?;
        self.describe(&scored, &mut record);
        let training_set = self.advantages(scored)?;
        timed(&mut record.train_seconds, || self.update(&training_set, epoch, observer))?;

        self.counters.epochs = epoch.0;
        observer.record(&Record::Epoch(record.with_throughput(self.plan.samples_per_epoch())));
        Ok(())
    }

    /// How much better than its peers each chain was.
    fn advantages(&mut self, scored: ScoredRollout<D>) -> Result<TrainingSet<D>> {
        let advantages = self.parts.advantage.advantages(scored.prompts(), scored.rewards())?;
        Ok(scored.into_training_set(advantages)?)
    }

    /// Counts the rewards and notes their moments.
    fn describe(&mut self, scored: &ScoredRollout<D>, record: &mut EpochRecord) {
        let rewards: Vec<f64> = scored.rewards().iter().map(|&r| f64::from(r)).collect();
        let n = rewards.len().max(1) as f64;
        let mean = rewards.iter().sum::<f64>() / n;
        self.counters.reward_queries += rewards.len() as u64;
        record.reward_queries = self.counters.reward_queries;
        record.reward_mean = mean;
        record.reward_std = (rewards.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n).sqrt();
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &P {
        &self.parts.policy
    }

    /// The policy, when training is over.
    pub fn into_policy(self) -> P {
        self.parts.policy
    }

    /// The plan.
    pub fn plan(&self) -> &DdpoPlan {
        &self.plan
    }

    /// The epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.counters.epochs
    }
}

/// Adds the seconds `f` takes to `seconds`.
fn timed<T>(seconds: &mut f64, f: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = f();
    *seconds += start.elapsed().as_secs_f64();
    result
}
