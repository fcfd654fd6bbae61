//! Batches of chains, side by side: the one sampling loop of training, evaluation and users' requests.

use ddpo_core::{Chains, Denoiser, PromptId, Rollout, SampleId, Sampling};

use crate::error::Result;
use crate::lanes::Lanes;
use crate::prompts::EncodedPrompts;
use crate::stop::{StopFlag, Stoppable};

/// Opens a model in the thread that is to use it.
pub type OpenModel<'a, const D: usize> = &'a (dyn Fn() -> Box<dyn Denoiser<D> + 'a> + Sync);

/// How batches of chains are sampled.
///
/// ```
/// use burn::tensor::Tensor;
/// use ddpo_core::{PromptId, SampleId};
/// use ddpo_train::{BatchSampler, Result};
///
/// /// What these chains arrive at, in their order.
/// fn last_states(sampler: &BatchSampler<'_, 4>, chains: &[(SampleId, PromptId)]) -> Result<Vec<Tensor<4>>> {
///     let mut states = Vec::new();
///     let finish = |rollout: ddpo_core::Rollout<4>, _| Ok(rollout.last_state().clone());
///     sampler.each(chains, finish, &mut |done, total| eprintln!("{done} of {total}"), |state| {
///         states.push(state);
///         Ok(())
///     })?;
///     Ok(states)
/// }
/// ```
pub struct BatchSampler<'a, const D: usize> {
    /// How a chain is sampled.
    pub sampling: Sampling<'a, D>,
    /// The model.
    pub model: OpenModel<'a, D>,
    /// What the chains' divergence is from; `None` computes none.
    pub reference: Option<OpenModel<'a, D>>,
    /// The prompts which chains name.
    pub prompts: &'a EncodedPrompts,
    /// The chains of a batch, at least 1. It changes no chain.
    pub batch: usize,
    /// Which batches are worked on side by side.
    pub lanes: &'a Lanes,
    /// Ends the work at the next step.
    pub stop: &'a StopFlag,
}

impl<const D: usize> BatchSampler<'_, D> {
    /// Samples these chains, each the number of a sample and its prompt. `finish` works on a batch's rollout and divergences, in
    /// nats, none without a reference, where it was sampled; `take` gets what it made in the order of the batches. `on_step`
    /// hears how many steps of how many are done.
    ///
    /// # Errors
    /// Those of the model, of `finish` and of `take`; any of the model's once the flag is set.
    pub fn each<R: Send>(
        &self,
        chains: &[(SampleId, PromptId)],
        finish: impl Fn(Rollout<D>, Vec<f64>) -> Result<R> + Sync,
        on_step: &mut dyn FnMut(usize, usize),
        take: impl FnMut(R) -> Result<()>,
    ) -> Result<()> {
        let batches: Vec<&[(SampleId, PromptId)]> = chains.chunks(self.batch).collect();
        let (mut done, total) = (0, batches.len() * self.sampling.step_count(self.reference.is_some())?);
        self.lanes.each(
            batches,
            |_, chains, on_step| {
                let (rollout, divergence) = self.batch(chains, on_step)?;
                finish(rollout, divergence)
            },
            &mut || {
                done += 1;
                on_step(done, total);
            },
            take,
        )
    }

    fn batch(&self, chains: &[(SampleId, PromptId)], on_step: &mut dyn FnMut()) -> Result<(Rollout<D>, Vec<f64>)> {
        let (samples, prompts): (Vec<SampleId>, Vec<PromptId>) = chains.iter().copied().unzip();
        let chains = Chains { samples: &samples, prompts: &prompts, condition: &self.prompts.condition(&prompts)? };
        let (model, reference) = ((self.model)(), self.reference.map(|open| open()));
        let model = Stoppable { inner: &*model, stop: self.stop };
        let Some(reference) = &reference else {
            return Ok((self.sampling.chains(&model, chains, on_step)?, Vec::new()));
        };
        let reference = Stoppable { inner: &**reference, stop: self.stop };
        Ok(self.sampling.chains_with_divergence(&model, &reference, chains, on_step)?)
    }
}
