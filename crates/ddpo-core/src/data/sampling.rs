//! Sampling with guidance, and the divergence of chains from a reference: what training, evaluation and users' requests share.

use std::cell::RefCell;

use burn::Tensor;
use burn::tensor::Device;

use super::rollout::{Rollout, RolloutRequest, propose, rollout};
use crate::rows::read;
use crate::scheduler::{stochastic_steps, transition};
use crate::{
    Condition, Denoiser, Epoch, Guided, Noise, Prediction, PromptId, Reduction, Result, SampleId, Scheduler, StepIndex,
    Timestep,
};

/// How chains are sampled: everything but which, and by which model.
///
/// ```
/// use burn::tensor::Tensor;
/// use ddpo_core::{Chains, Policy, Result, Sampling};
///
/// /// What chains of a policy arrive at, and their mean divergence from the base model in nats.
/// fn sample(sampling: &Sampling<'_, 4>, policy: &impl Policy<4>, chains: Chains<'_>) -> Result<(Tensor<4>, f64)> {
///     let (sampler, base) = (policy.sampler(), policy.reference());
///     let (rollout, nats) = sampling.chains_with_divergence(&*sampler, &*base, chains, &mut || {})?;
///     Ok((rollout.last_state().clone(), nats.iter().sum::<f64>() / nats.len() as f64))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sampling<'a, const D: usize> {
    /// The sampler.
    pub scheduler: &'a dyn Scheduler,
    /// The weight of classifier-free guidance; 1 is none.
    pub guidance: f64,
    /// The encoded empty or negative prompt, one row.
    pub unconditional: &'a Condition,
    /// The shape of a state; its first entry, the batch, is taken from the number of chains.
    pub shape: [usize; D],
    /// The source of the initial states and of every step's noise.
    pub noise: Noise,
    /// The epoch, which with the noise and a sample's number is its identity.
    pub epoch: Epoch,
    /// How log-probabilities add up.
    pub reduction: Reduction,
    /// Where the states live.
    pub device: &'a Device,
}

/// Which chains to sample; one entry per chain.
#[derive(Clone, Copy, Debug)]
pub struct Chains<'a> {
    /// The samples' numbers within the epoch.
    pub samples: &'a [SampleId],
    /// The prompt of each.
    pub prompts: &'a [PromptId],
    /// What each is conditioned on.
    pub condition: &'a Condition,
}

impl<const D: usize> Sampling<'_, D> {
    /// How often sampling a batch of chains reports a step, with or without their divergence.
    ///
    /// # Errors
    /// Those of the scheduler.
    pub fn step_count(&self, with_divergence: bool) -> Result<usize> {
        let divergence = if with_divergence { stochastic_steps(self.scheduler)?.len() } else { 0 };
        Ok(self.scheduler.timesteps().len() + divergence)
    }

    /// Samples chains from noise to data. `on_step` hears of each step when it is done.
    ///
    /// # Errors
    /// Those of [`rollout`] and [`Guided::new`].
    pub fn chains(&self, model: &dyn Denoiser<D>, chains: Chains<'_>, on_step: &mut dyn FnMut()) -> Result<Rollout<D>> {
        let guided = Guided::new(model, self.unconditional.clone(), self.guidance)?;
        self.roll_out(&guided, chains, on_step)
    }

    /// The same with the divergence of each chain under `model` from what it would be under `reference`, in nats:
    /// `Σ_t KL(π(·|x_t) ‖ π_ref(·|x_t))` along its states, summed in f64, whose expectation over chains is the divergence of
    /// whole chains. The model's predictions are those that drew the chains, so that it is asked no second time. Chains of which no
    /// step draws anything have no divergence: theirs is NaN.
    ///
    /// # Errors
    /// Those of [`chains`](Self::chains) and [`propose`].
    pub fn chains_with_divergence(
        &self,
        model: &dyn Denoiser<D>,
        reference: &dyn Denoiser<D>,
        chains: Chains<'_>,
        on_step: &mut dyn FnMut(),
    ) -> Result<(Rollout<D>, Vec<f64>)> {
        let guided = Guided::new(model, self.unconditional.clone(), self.guidance)?;
        let reference = Guided::new(reference, self.unconditional.clone(), self.guidance)?;
        let model = CachingDenoiser::new(&guided);
        let rollout = self.roll_out(&model, chains, on_step)?;
        let divergence = self.divergence(&rollout, &model.predictions.into_inner(), &reference, on_step)?;
        Ok((rollout, divergence))
    }

    fn roll_out(
        &self,
        denoiser: &dyn Denoiser<D>,
        chains: Chains<'_>,
        on_step: &mut dyn FnMut(),
    ) -> Result<Rollout<D>> {
        let request = RolloutRequest {
            shape: self.shape,
            samples: chains.samples,
            prompts: chains.prompts,
            condition: chains.condition,
            noise: self.noise,
            epoch: self.epoch,
            reduction: self.reduction,
            device: self.device,
        };
        rollout(denoiser, self.scheduler, &request, &mut |_| on_step())
    }

    fn divergence(
        &self,
        rollout: &Rollout<D>,
        predictions: &[Prediction<D>],
        reference: &dyn Denoiser<D>,
        on_step: &mut dyn FnMut(),
    ) -> Result<Vec<f64>> {
        let none = if rollout.steps().is_empty() { f64::NAN } else { 0.0 };
        let mut total = vec![none; rollout.len()];
        for &StepIndex(i) in rollout.steps() {
            let (steps, state) = (vec![StepIndex(i); rollout.len()], &rollout.states()[i]);
            let ours = transition(self.scheduler, &steps, state, &predictions[i])?;
            let theirs = propose(reference, self.scheduler, &steps, state, rollout.condition())?;
            let kl = read(ours.kl(&theirs, Reduction::Sum)?)?;
            total.iter_mut().zip(kl).for_each(|(sum, kl)| *sum += f64::from(kl));
            on_step();
        }
        Ok(total)
    }
}

/// Passes predictions through and keeps them, one a step.
struct CachingDenoiser<'a, const D: usize> {
    inner: &'a dyn Denoiser<D>,
    predictions: RefCell<Vec<Prediction<D>>>,
}

impl<'a, const D: usize> CachingDenoiser<'a, D> {
    fn new(inner: &'a dyn Denoiser<D>) -> Self {
        Self { inner, predictions: RefCell::new(Vec::new()) }
    }
}

impl<const D: usize> Denoiser<D> for CachingDenoiser<'_, D> {
    fn predict(&self, x: &Tensor<D>, timesteps: &[Timestep], c: &Condition) -> Result<Prediction<D>> {
        let prediction = self.inner.predict(x, timesteps, c)?;
        self.predictions.borrow_mut().push(prediction.clone());
        Ok(prediction)
    }
}
