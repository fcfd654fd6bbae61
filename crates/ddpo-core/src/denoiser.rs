//! The contract of a model that predicts.

use crate::{Condition, Prediction, Result, Timestep};
use burn::Tensor;

/// A model that looks at a noisy sample and predicts what is noise in it and what is not.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use ddpo_core::scheduler::{Ddim, DdimConfig, transition};
/// # use ddpo_core::{Condition, Denoiser, PredictionKind, Scheduler, StepIndex};
/// # use ddpo_testing::{GaussianDenoiser, stable_diffusion_schedule};
/// # let (device, batch, schedule) = (Device::flex(), 3, stable_diffusion_schedule());
/// # let scheduler = Ddim::new(&schedule, DdimConfig { steps: 10, eta: 0.0, ..DdimConfig::default() })?;
/// # let condition = Condition::none(batch, &device);
/// // Of data in which every element is 2.
/// let denoiser = GaussianDenoiser { mean: 2.0, std: 0.0, kind: PredictionKind::Sample, schedule };
/// let mut sample = Tensor::<2>::zeros([batch, 4], &device);
/// for step in 0..scheduler.timesteps().len() {
///     let prediction = denoiser.predict(&sample, &vec![scheduler.timesteps()[step]; batch], &condition)?;
///     sample = transition(&scheduler, &vec![StepIndex(step); batch], &sample, &prediction)?.mean().clone();
/// }
/// assert!((sample.mean().into_scalar::<f32>() - 2.0).abs() < 0.1);
/// # Ok::<(), ddpo_core::Error>(())
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
