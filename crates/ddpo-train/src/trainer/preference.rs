//! Learning from pairs of pictures that are given, in one screen: no picture is drawn and no reward asked but in evaluations.

use ddpo_core::{Epoch, NoiseSchedule};

use super::fork::ForkPolicy;
use super::parts::{PicturePairs, PreferenceParts};
use super::preference_loss::PairLoss;
use super::trainer_core::{TrainerCore, timed};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::plan::PreferencePlan;
use crate::record::EpochRecord;

/// Trains a policy by [`DiffusionDpo`](ddpo_core::preference::DiffusionDpo) on given pairs, an epoch at a time.
///
/// As in [`DdpoTrainer`](super::DdpoTrainer), every random choice is a function of the seed and of counters.
pub struct PreferenceTrainer<P, const D: usize> {
    pub(super) plan: PreferencePlan,
    pub(super) core: TrainerCore<P, D>,
    pub(super) schedule: NoiseSchedule,
    pub(super) pairs: PicturePairs<D>,
}

impl<P: ForkPolicy<D>, const D: usize> PreferenceTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan's numbers do not fit each other or the schedule, [`Error::Count`] where there are no pairs, or not
    /// two states of each, [`Error::Threads`] where there are no threads for its lanes.
    pub fn new(plan: PreferencePlan, parts: PreferenceParts<P, D>) -> Result<Self> {
        plan.validate()?;
        let PreferenceParts { shared, schedule, pairs } = parts;
        if let Some(&timestep) = plan.timesteps.iter().find(|&&timestep| timestep >= schedule.train_steps()) {
            let wanted = format!("below {}, the timesteps of the model", schedule.train_steps());
            return Err(Error::plan("timestep", timestep, wanted));
        }
        if pairs.prompts.is_empty() {
            return Err(Error::Count { what: "pairs", found: 0, wanted: 1 });
        }
        let (found, wanted) = (pairs.states.dims()[0], 2 * pairs.prompts.len());
        if found != wanted {
            return Err(Error::Count { what: "states of pairs", found, wanted });
        }
        let core = TrainerCore::new(plan.sampling, shared, plan.adamw, plan.learning_rate)?;
        Ok(Self { plan, core, schedule, pairs })
    }

    /// One epoch: so many pairs, in a random order in which each comes again when all others have come.
    ///
    /// # Errors
    /// As [`DdpoTrainer::epoch`](super::DdpoTrainer::epoch).
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let epoch = self.core.next_epoch();
        let mut record = EpochRecord {
            epoch: epoch.0,
            reward_queries: self.core.counters.reward_queries,
            reward_mean: f64::NAN,
            reward_std: f64::NAN,
            ..EpochRecord::default()
        };
        timed(&mut record.train_seconds, || self.prefer(epoch, observer))?;
        self.core.finish(record, observer);
        Ok(())
    }

    fn prefer(&mut self, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let loss = PairLoss { plan: &self.plan, schedule: &self.schedule, pairs: &self.pairs, epoch };
        let steps = loss.steps(self.core.noise());
        self.core.optimise(&loss, &steps, epoch, observer)
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &P {
        &self.core.parts.policy
    }

    /// What evaluations see, and what is handed back: the moving average of the policy where one is kept, else the policy.
    pub fn product(&self) -> &P {
        self.core.product()
    }

    /// The plan.
    pub fn plan(&self) -> &PreferencePlan {
        &self.plan
    }

    /// The epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.core.counters.epochs
    }
}
