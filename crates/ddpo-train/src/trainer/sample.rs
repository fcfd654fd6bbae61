//! Sampling: chains under the policy as it is, and the pictures they end in.

use ddpo_core::{
    Address, Domain, Epoch, Guided, Noise, PromptId, RgbImage, Rollout, RolloutRequest, SampleId, Stream, rollout,
};

use super::fork::ForkPolicy;
use super::trainer_core::TrainerCore;
use crate::error::Result;
use crate::events::{Progress, Stage};
use crate::lanes::OnStep;
use crate::observer::Observer;
use crate::stop::{StopFlag, Stoppable};

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// An epoch's chains, in batches, with the picture of each.
    pub(super) fn sample(&self, epoch: Epoch, observer: &mut Observer<'_>) -> Result<(Rollout<D>, Vec<RgbImage>)> {
        let total = self.plan.batches_per_epoch * self.parts.scheduler.timesteps().len();
        let (mut rollouts, mut images, mut done) = (Vec::new(), Vec::new(), 0);
        let stop = observer.stop();
        let outcome = self.lanes.each(
            (0..self.plan.batches_per_epoch).collect(),
            |_, batch, on_step| self.sample_batch(epoch, batch, stop, on_step),
            &mut || {
                done += 1;
                observer.progress(Progress { stage: Stage::Sampling, epoch: epoch.0, done, total });
            },
            |(rollout, pictures)| {
                rollouts.push(rollout);
                images.extend(pictures);
                Ok(())
            },
        );
        // A set flag explains any failure of the model: it is what made it refuse.
        outcome.map_err(|error| observer.check(epoch.0).err().unwrap_or(error))?;
        Ok((Rollout::concat(rollouts)?, images))
    }

    fn sample_batch(
        &self,
        epoch: Epoch,
        batch: usize,
        stop: &StopFlag,
        on_step: OnStep<'_>,
    ) -> Result<(Rollout<D>, Vec<RgbImage>)> {
        let (plan, parts) = (&self.plan, &self.parts);
        let first = batch * plan.sample_batch;
        let samples: Vec<SampleId> = (first..first + plan.sample_batch).map(|id| SampleId(id as u64)).collect();
        let prompts: Vec<PromptId> = samples.iter().map(|&sample| self.prompt_of(epoch, sample)).collect();
        let sampler = parts.policy.sampler();
        let stoppable = Stoppable { inner: &*sampler, stop };
        let guided = Guided::new(&stoppable, parts.prompts.unconditional().clone(), plan.sample_guidance)?;
        let request = RolloutRequest {
            shape: parts.shape,
            samples: &samples,
            prompts: &prompts,
            condition: &parts.prompts.condition(&prompts)?,
            noise: self.noise(),
            epoch,
            reduction: plan.reduction,
            device: &parts.device,
        };
        let rollout = rollout(&guided, &*parts.scheduler, &request, &mut |_| on_step())?;
        let pictures = parts.decoder.decode(rollout.last_state())?;
        Ok((rollout, pictures))
    }

    /// The prompt of a sample: uniform, drawn once for each group of samples which share it.
    fn prompt_of(&self, epoch: Epoch, sample: SampleId) -> PromptId {
        let group = SampleId(sample.0 / self.plan.samples_per_prompt as u64);
        let address = Address { stream: Stream::Prompt, epoch, sample: group, step: 0 };
        PromptId(self.noise().at(address).index(self.parts.prompts.count()) as u64)
    }

    /// The randomness of training.
    pub(super) fn noise(&self) -> Noise {
        Noise::new(self.plan.seed, Domain::Training)
    }
}
