//! A denoiser which remembers what it predictions, so that a divergence along a chain costs no second forward pass.

use std::cell::RefCell;

use burn::tensor::Tensor;
use ddpo_core::scheduler::transition;
use ddpo_core::{Condition, Denoiser, Prediction, Reduction, Result, Rollout, Scheduler, StepIndex, Timestep, propose};

/// Passes predictions through and keeps them, one a call.
pub(super) struct CachingDenoiser<'a, const D: usize> {
    inner: &'a dyn Denoiser<D>,
    predictions: RefCell<Vec<Prediction<D>>>,
}

impl<'a, const D: usize> CachingDenoiser<'a, D> {
    pub fn new(inner: &'a dyn Denoiser<D>) -> Self {
        Self { inner, predictions: RefCell::new(Vec::new()) }
    }

    /// `Σ_t KL(π(·|x_t) ‖ π_ref(·|x_t))` in nats for each chain of the `rollout` this denoiser has just made, as
    /// [`Rollout::kl`] computes it.
    pub fn kl(
        &self,
        rollout: &Rollout<D>,
        reference: &dyn Denoiser<D>,
        scheduler: &dyn Scheduler,
        on_step: &mut dyn FnMut(),
    ) -> Result<Vec<f64>> {
        let predictions = self.predictions.borrow();
        let mut total = vec![0.0; rollout.len()];
        for &StepIndex(i) in rollout.steps() {
            let (steps, state) = (vec![StepIndex(i); rollout.len()], &rollout.states()[i]);
            let ours = transition(scheduler, &steps, state, &predictions[i])?;
            let theirs = propose(reference, scheduler, &steps, state, rollout.condition())?;
            let kl = ours.kl(&theirs, Reduction::Sum)?.inner().try_into_vec_as::<f32>();
            let kl = kl.map_err(|error| ddpo_core::Error::Read(error.into()))?;
            total.iter_mut().zip(kl).for_each(|(sum, kl)| *sum += f64::from(kl));
            on_step();
        }
        Ok(total)
    }
}

impl<const D: usize> Denoiser<D> for CachingDenoiser<'_, D> {
    fn predict(&self, x: &Tensor<D>, timesteps: &[Timestep], c: &Condition) -> Result<Prediction<D>> {
        let prediction = self.inner.predict(x, timesteps, c)?;
        self.predictions.borrow_mut().push(prediction.clone());
        Ok(prediction)
    }
}
