//! The contract of a model that predicts.

use crate::{Condition, Prediction, Result, Timestep};
use burn::Tensor;

/// A model that looks at a noisy sample and predicts what is noise in it and what is not.
///
/// ```text
/// for step in 0..scheduler.timesteps().len() {
///     let prediction = denoiser.predict(&sample, &[scheduler.timesteps()[step]; batch], &condition)?;
///     sample = transition(scheduler, &[StepIndex(step); batch], &sample, &prediction)?.sample(noise)?;
/// }
/// ```
///
/// Row `i` of the result must depend on row `i` of the arguments only, and to the bit, whatever the batch: the log-prob of a
/// sample is computed in one batch when it is drawn and in another when the policy is updated.
pub trait Denoiser<const D: usize> {
    /// Predicts for each row of `sample`.
    ///
    /// # Shapes
    /// `sample` `[B, ..]`, one timestep a row, `condition` `[B, T, C]`; the prediction has the shape of `sample`.
    ///
    /// # Errors
    /// Whatever the model reports, as [`Error::Model`](crate::Error::Model).
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>>;
}

impl<const D: usize, T: Denoiser<D> + ?Sized> Denoiser<D> for &T {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>> {
        (**self).predict(sample, timesteps, condition)
    }
}

impl<const D: usize, T: Denoiser<D> + ?Sized> Denoiser<D> for Box<T> {
    fn predict(&self, sample: &Tensor<D>, timesteps: &[Timestep], condition: &Condition) -> Result<Prediction<D>> {
        (**self).predict(sample, timesteps, condition)
    }
}
