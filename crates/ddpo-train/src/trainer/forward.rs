//! Learning from the forward process in one screen: samples of the old policy, noised again, and targets that their advantages
//! correct.

use ddpo_core::{Advantage, Epoch, NoiseSchedule, ScoredRollout};

use super::average::follow;
use super::correction::{CorrectionLoss, CorrectionSet};
use super::fork::ForkPolicy;
use super::parts::ForwardParts;
use super::trainer_core::{TrainerCore, timed};
use crate::error::{Error, Result};
use crate::observer::Observer;
use crate::plan::ForwardPlan;
use crate::record::EpochRecord;

/// Trains a policy by regression on corrected targets ([`CorrectedTarget`](ddpo_core::correction::CorrectedTarget)), an epoch at a
/// time. It knows nothing of the chains but where they end, so that any sampler will do.
///
/// The samples are drawn by the old policy, an exponential moving average of the policy, which is part of the state.
/// As in [`DdpoTrainer`](super::DdpoTrainer), every random choice is a function of the seed and of counters.
pub struct ForwardTrainer<P, const D: usize> {
    pub(super) plan: ForwardPlan,
    pub(super) core: TrainerCore<P, D>,
    pub(super) schedule: NoiseSchedule,
    pub(super) advantage: Box<dyn Advantage>,
}

impl<P: ForkPolicy<D>, const D: usize> ForwardTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan's numbers do not fit each other or the schedule,
    /// [`Error::Threads`] where there are no threads for its lanes.
    pub fn new(plan: ForwardPlan, parts: ForwardParts<P, D>) -> Result<Self> {
        plan.validate()?;
        let ForwardParts { shared, schedule, advantage } = parts;
        if plan.first_timestep >= schedule.train_steps() {
            let wanted = format!("below {}, the timesteps of the model", schedule.train_steps());
            return Err(Error::plan("first timestep", plan.first_timestep, wanted));
        }
        let mut core = TrainerCore::new(plan.sampling, shared, plan.adamw, plan.learning_rate)?;
        core.old = (plan.old_policy.most > 0.0).then(|| core.parts.policy.clone());
        Ok(Self { plan, core, schedule, advantage })
    }

    /// One epoch: sample from the old policy, score, advantages, regress, and let the old policy follow.
    ///
    /// # Errors
    /// As [`DdpoTrainer::epoch`](super::DdpoTrainer::epoch).
    pub fn epoch(&mut self, observer: &mut Observer<'_>) -> Result<()> {
        let epoch = self.core.next_epoch();
        let mut record = EpochRecord { epoch: epoch.0, ..EpochRecord::default() };

        let (scored, _) = self.core.sample_and_score(epoch, &mut record, observer)?;
        let set = self.advantages(&scored)?;
        drop(scored);
        timed(&mut record.train_seconds, || self.regress(&set, epoch, observer))?;
        self.core.old_follows(self.plan.old_policy.decay(epoch))?;

        self.core.finish(record, observer);
        Ok(())
    }

    /// What the chains ended in, and how much better than its peers each was.
    pub(super) fn advantages(&mut self, scored: &ScoredRollout<D>) -> Result<CorrectionSet<D>> {
        let mut advantages = self.advantage.advantages(scored.prompts(), scored.rewards())?;
        self.core.leave_out_samples(&mut advantages);
        let most = self.plan.advantage_clip as f32;
        advantages.iter_mut().for_each(|advantage| *advantage = advantage.clamp(-most, most));
        let rollout = scored.rollout();
        Ok(CorrectionSet {
            states: rollout.last_state().clone(),
            prompts: rollout.prompts().to_vec(),
            samples_per_prompt: self.core.samples_per_prompt(self.core.next_epoch()),
            advantages,
        })
    }

    /// The optimizer steps of an epoch. The policy that drew the samples is the target's starting point in all of them.
    fn regress(&mut self, set: &CorrectionSet<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let changes = self.core.old.is_none() && self.plan.updates_per_epoch() > 1;
        let drawn_by = changes.then(|| self.core.parts.policy.clone());
        let loss = CorrectionLoss { plan: &self.plan, schedule: &self.schedule, set, epoch, drawn_by };
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

    /// The policy that draws the samples; none where that is the policy itself.
    pub fn old_policy(&self) -> Option<&P> {
        self.core.old.as_ref()
    }

    /// The plan.
    pub fn plan(&self) -> &ForwardPlan {
        &self.plan
    }

    /// The epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.core.counters.epochs
    }
}

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// Moves the old policy, where there is one, to `decay · old + (1 − decay) · policy`.
    pub(super) fn old_follows(&mut self, decay: f64) -> Result<()> {
        let Some(old) = &mut self.old else { return Ok(()) };
        follow(old, &self.parts.policy, decay)
    }
}
