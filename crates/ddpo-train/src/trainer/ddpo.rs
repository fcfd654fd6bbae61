//! Denoising diffusion policy optimization (Black et al., arXiv 2305.13301, section 4.3) in one screen.

use ddpo_core::{Advantage, Epoch, Objective, ScoredRollout, TrainingSet};

use super::fork::ForkPolicy;
use super::parts::DdpoParts;
use super::policy_gradient::PolicyGradientLoss;
use super::trainer_core::{TrainerCore, timed};
use crate::error::Result;
use crate::observer::Observer;
use crate::plan::DdpoPlan;
use crate::record::EpochRecord;

/// Trains a policy by DDPO, an epoch at a time.
///
/// Every random choice is a function of the seed, the epoch and the sample, so nothing but parameters, moments,
/// remembered rewards and counters makes up its state.
pub struct DdpoTrainer<P, const D: usize> {
    pub(super) plan: DdpoPlan,
    pub(super) core: TrainerCore<P, D>,
    pub(super) objective: Box<dyn Objective>,
    pub(super) advantage: Box<dyn Advantage>,
}

impl<P: ForkPolicy<D>, const D: usize> DdpoTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`](crate::Error::Plan) where the plan's numbers do not fit each other,
    /// [`Error::Threads`](crate::Error::Threads) where there are no threads for its lanes.
    pub fn new(plan: DdpoPlan, parts: DdpoParts<P, D>) -> Result<Self> {
        let unit = parts.objective.needs().unit;
        plan.validate(unit)?;
        let DdpoParts { shared, objective, advantage } = parts;
        shared.check_samples_per_prompt(&plan.sampling, unit)?;
        let core = TrainerCore::new(plan.sampling, shared, plan.adamw, plan.learning_rate)?;
        Ok(Self { plan, core, objective, advantage })
    }

    /// One epoch of algorithm 1: sample, score, advantages, update.
    ///
    /// # Errors
    /// Those of the parts, [`Error::NonFinite`](crate::Error::NonFinite) for a reward, loss or gradient,
    /// [`Error::Interrupted`](crate::Error::Interrupted). The trainer is then in the middle of an epoch: restore a
    /// snapshot before going on.
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let epoch = self.core.next_epoch();
        let mut record = EpochRecord { epoch: epoch.0, ..EpochRecord::default() };

        let (scored, _) = self.core.sample_and_score(epoch, &mut record, observer)?;
        let training_set = self.advantages(scored)?;
        timed(&mut record.train_seconds, || self.update(&training_set, epoch, observer))?;

        self.core.finish(record, observer);
        Ok(())
    }

    /// How much better than its peers each chain was.
    pub(super) fn advantages(&mut self, scored: ScoredRollout<D>) -> Result<TrainingSet<D>> {
        let mut advantages = self.advantage.advantages(scored.prompts(), scored.rewards())?;
        self.core.leave_out_samples(&mut advantages);
        Ok(scored.into_training_set(advantages)?)
    }

    /// The optimizer steps of an epoch.
    fn update(&mut self, set: &TrainingSet<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let loss = PolicyGradientLoss::new(&self.plan, &*self.objective, set, &*self.core.parts.scheduler)?;
        let steps = loss.steps(self.core.noise())?;
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

    /// The policy, when training is over.
    pub fn into_policy(self) -> P {
        self.core.parts.policy
    }

    /// The plan.
    pub fn plan(&self) -> &DdpoPlan {
        &self.plan
    }

    /// The epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.core.counters.epochs
    }
}
