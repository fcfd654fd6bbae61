//! Sampling: chains under the policy as it is, and the pictures they end in.

use ddpo_core::{
    Address, Domain, Epoch, Guided, Noise, Policy, PromptId, RgbImage, Rollout, RolloutRequest, SampleId, Stream,
    rollout,
};

use super::workshop::Workshop;
use crate::error::{Error, Result};
use crate::events::{Progress, Stage};
use crate::observer::Observer;
use crate::stop::Stoppable;

impl<P: Policy<D>, const D: usize> Workshop<P, D> {
    /// An epoch's chains, in batches, with the picture of each.
    pub(super) fn sample(&self, epoch: Epoch, observer: &mut Observer<'_>) -> Result<(Rollout<D>, Vec<RgbImage>)> {
        let (mut rollouts, mut images) = (Vec::new(), Vec::new());
        for batch in 0..self.plan.batches_per_epoch {
            let rollout = self.sample_batch(epoch, batch, observer)?;
            images.extend(self.parts.decoder.decode(rollout.last_state())?);
            rollouts.push(rollout);
        }
        Ok((Rollout::concat(rollouts)?, images))
    }

    fn sample_batch(&self, epoch: Epoch, batch: usize, observer: &mut Observer<'_>) -> Result<Rollout<D>> {
        let (plan, parts) = (&self.plan, &self.parts);
        let first = batch * plan.sample_batch;
        let samples: Vec<SampleId> = (first..first + plan.sample_batch).map(|id| SampleId(id as u64)).collect();
        let prompts: Vec<PromptId> = samples.iter().map(|&sample| self.prompt_of(epoch, sample)).collect();
        let sampler = parts.policy.sampler();
        let stoppable = Stoppable { inner: &*sampler, stop: observer.stop() };
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
        let steps = parts.scheduler.timesteps().len();
        let total = plan.batches_per_epoch * steps;
        let outcome = rollout(&guided, &*parts.scheduler, &request, &mut |step| {
            let done = batch * steps + step.0 + 1;
            observer.progress(Progress { stage: Stage::Sampling, epoch: epoch.0, done, total });
        });
        // A set flag explains any failure of the model: it is what made it refuse.
        outcome.map_err(|error| observer.check(epoch.0).err().unwrap_or(Error::Core(error)))
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
