//! Latent consistency distillation in one screen: pictures of the teacher, and a student that learns to guess in one step what the
//! teacher arrives at in many.

use burn::tensor::Tensor;
use ddpo_core::{Epoch, NoiseSchedule, SampleId, Sampling, Scheduler};

use super::distill_loss::{DistillLoss, TeacherPictures};
use super::exchange::exchange_states;
use super::fork::ForkPolicy;
use super::parts::DistillParts;
use super::trainer_core::{TrainerCore, timed};
use crate::error::{Error, Result};
use crate::events::{Progress, Stage};
use crate::observer::Observer;
use crate::plan::DistillPlan;
use crate::record::EpochRecord;
use crate::sampler::BatchSampler;

/// Trains a policy, the student, by [`ConsistencyDistillation`](ddpo_core::distillation::ConsistencyDistillation) of the model that it
/// started from, an epoch at a time. No data are needed: the teacher draws the clean samples itself.
///
/// The target network, a moving average of the student, is part of the state. As in [`DdpoTrainer`](super::DdpoTrainer), every random
/// choice is a function of the seed and of counters.
pub struct DistillTrainer<P, const D: usize> {
    pub(super) plan: DistillPlan,
    pub(super) core: TrainerCore<P, D>,
    pub(super) schedule: NoiseSchedule,
    pub(super) teacher: Box<dyn Scheduler>,
}

impl<P: ForkPolicy<D>, const D: usize> DistillTrainer<P, D> {
    /// A trainer which has done nothing yet.
    ///
    /// # Errors
    /// [`Error::Plan`] where the plan's numbers do not fit each other or the schedule,
    /// [`Error::Threads`] where there are no threads for its lanes.
    pub fn new(plan: DistillPlan, parts: DistillParts<P, D>) -> Result<Self> {
        plan.validate()?;
        let DistillParts { shared, schedule, teacher } = parts;
        if let Some(&timestep) = plan.grid.iter().find(|&&timestep| timestep >= schedule.train_steps()) {
            let wanted = format!("below {}, the timesteps of the model", schedule.train_steps());
            return Err(Error::plan("timestep of the grid", timestep, wanted));
        }
        let mut core = TrainerCore::new(plan.sampling, shared, plan.adamw, plan.learning_rate)?;
        core.old = Some(core.parts.policy.clone());
        Ok(Self { plan, core, schedule, teacher })
    }

    /// One epoch: the teacher draws pictures, and the student learns from them.
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
        let pictures = timed(&mut record.sample_seconds, || self.draw(epoch, observer))?;
        timed(&mut record.train_seconds, || self.distil(&pictures, epoch, observer))?;
        self.core.finish(record, observer);
        Ok(())
    }

    /// What the teacher's chains end in; each rank draws its [share](TrainerCore::share_of_samples) of them.
    pub(super) fn draw(&self, epoch: Epoch, observer: &mut Observer<'_>) -> Result<TeacherPictures<D>> {
        let core = &self.core;
        let samples = (0..self.plan.sampling.samples_per_epoch() as u64).map(SampleId);
        let chains: Vec<_> = samples.map(|sample| (sample, core.prompt_of(epoch, sample))).collect();
        let sampling = core.sampling(&core.parts.prompts, core.noise(), epoch);
        let sampler = BatchSampler {
            sampling: Sampling { scheduler: &*self.teacher, guidance: self.plan.teacher_guidance, ..sampling },
            model: &|| core.parts.policy.reference(),
            reference: None,
            prompts: &core.parts.prompts,
            batch: self.plan.sampling.sample_batch,
            lanes: &core.lanes,
            stop: observer.stop(),
        };
        let mut states = Vec::new();
        let outcome = sampler.each(
            &chains[core.share_of_samples()],
            |rollout, _| Ok(rollout.last_state().clone()),
            &mut |done, total| {
                observer.progress(Progress { stage: Stage::Sampling, epoch: epoch.0, done, total });
            },
            |state| {
                states.push(state);
                Ok(())
            },
        );
        outcome.map_err(|error| observer.check(epoch.0).err().unwrap_or(error))?;
        let mine = (!states.is_empty()).then(|| Tensor::cat(states, 0));
        let states = exchange_states(&core.parts.ranks, mine, &core.parts.device)?;
        Ok(TeacherPictures { states, prompts: chains.into_iter().map(|(_, prompt)| prompt).collect() })
    }

    /// The optimizer steps of an epoch, after each of which the target follows.
    fn distil(&mut self, pictures: &TeacherPictures<D>, epoch: Epoch, observer: &mut Observer<'_>) -> Result<()> {
        let loss = DistillLoss { plan: &self.plan, schedule: &self.schedule, pictures, epoch };
        let steps = loss.steps(self.core.noise());
        self.core.optimise(&loss, &steps, epoch, observer)
    }

    /// The student as it is now.
    pub fn policy(&self) -> &P {
        &self.core.parts.policy
    }

    /// What evaluations see, and what is handed back: the moving average of the policy where one is kept, else the policy.
    pub fn product(&self) -> &P {
        self.core.product()
    }

    /// The plan.
    pub fn plan(&self) -> &DistillPlan {
        &self.plan
    }

    /// The epochs done.
    pub fn epochs_done(&self) -> u64 {
        self.core.counters.epochs
    }
}
