//! Sampling: chains under the policy as it is, and the pictures they end in.

use std::ops::Range;

use ddpo_core::{Address, Domain, Epoch, Noise, PromptId, RgbImage, Rollout, SampleId, Sampling, Stream};

use super::exchange::{exchange_images, exchange_rollouts};
use super::fork::ForkPolicy;
use super::trainer_core::TrainerCore;
use crate::error::Result;
use crate::events::{Progress, Stage};
use crate::observer::Observer;
use crate::prompts::EncodedPrompts;
use crate::sampler::BatchSampler;

/// Gets the pictures of a batch with their prompts.
pub(super) type OnBatch<'a> = &'a mut dyn FnMut(&[RgbImage], &[PromptId]) -> Result<()>;

impl<P: ForkPolicy<D>, const D: usize> TrainerCore<P, D> {
    /// An epoch's chains under the policy, or the old one where there is one, in batches, with the picture of each. `on_batch` gets
    /// the pictures of a batch of this rank's [share](Self::share_of_samples), with their prompts, when it is there.
    ///
    /// # Errors
    /// Those of the model and of `on_batch`; [`Interrupted`](crate::Error::Interrupted).
    pub(super) fn sample(
        &self,
        epoch: Epoch,
        observer: &mut Observer<'_>,
        on_batch: OnBatch<'_>,
    ) -> Result<(Rollout<D>, Vec<RgbImage>)> {
        let samples = (0..self.plan.samples_per_epoch() as u64).map(SampleId);
        let chains: Vec<_> = samples.map(|sample| (sample, self.prompt_of(epoch, sample))).collect();
        let policy = self.old.as_ref().unwrap_or(&self.parts.policy);
        let sampler = BatchSampler {
            sampling: self.sampling(&self.parts.prompts, self.noise(), epoch),
            model: &|| policy.sampler(),
            reference: None,
            prompts: &self.parts.prompts,
            batch: self.plan.sample_batch,
            lanes: &self.lanes,
            stop: observer.stop(),
        };
        let (mut rollouts, mut images) = (Vec::new(), Vec::new());
        let outcome = sampler.each(
            &chains[self.share_of_samples()],
            |rollout, _| {
                let pictures = self.parts.decoder.decode(rollout.last_state())?;
                Ok((rollout, pictures))
            },
            &mut |done, total| {
                observer.progress(Progress { stage: Stage::Sampling, epoch: epoch.0, done, total });
            },
            |(rollout, pictures)| {
                on_batch(&pictures, rollout.prompts())?;
                rollouts.push(rollout);
                images.extend(pictures);
                Ok(())
            },
        );
        // A set flag explains any failure of the model: it is what made it refuse.
        outcome.map_err(|error| observer.check(epoch.0).err().unwrap_or(error))?;
        let ranks = &self.parts.ranks;
        let rollout = exchange_rollouts(ranks, rollouts, &self.parts.prompts, &self.parts.device)?;
        Ok((rollout, exchange_images(ranks, images)?))
    }

    /// The samples of an epoch that this rank makes: whole batches.
    pub(super) fn share_of_samples(&self) -> Range<usize> {
        self.parts.ranks.share_in_batches(self.plan.samples_per_epoch(), self.plan.sample_batch)
    }

    /// How chains of these prompts are sampled.
    pub(super) fn sampling<'a>(&'a self, prompts: &'a EncodedPrompts, noise: Noise, epoch: Epoch) -> Sampling<'a, D> {
        Sampling {
            scheduler: &*self.parts.scheduler,
            guidance: self.plan.sample_guidance,
            unconditional: prompts.unconditional(),
            shape: self.parts.shape,
            noise,
            epoch,
            reduction: self.plan.reduction,
            device: &self.parts.device,
        }
    }

    /// The prompt of a sample: uniform among those of the epoch's task, drawn once for each group of samples which share it.
    pub(super) fn prompt_of(&self, epoch: Epoch, sample: SampleId) -> PromptId {
        let group = SampleId(sample.0 / self.samples_per_prompt(epoch) as u64);
        let address = Address { stream: Stream::Prompt, epoch, sample: group, step: 0 };
        let list = self.parts.prompts.list(self.task_number(epoch));
        self.parts.prompts.at(list.start + self.noise().at(address).index(list.len()))
    }

    /// The randomness of training.
    pub(super) fn noise(&self) -> Noise {
        Noise::new(self.plan.seed, Domain::Training)
    }
}
