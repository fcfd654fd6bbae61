//! The contract of a scheduler, and the one place where its numbers become a distribution.

use std::fmt::Debug;

use burn::Tensor;

use super::Coefficients;
use crate::error::{check_count, check_shape};
use crate::rows::per_row;
use crate::{Clipping, Prediction, Result, StepIndex, Timestep, Transition};

/// A sampler: the timesteps it visits and the Gaussian of each step. Immutable and without randomness.
///
/// ```
/// # use burn::tensor::{Device, Tensor};
/// # use ddpo_core::scheduler::{Ddim, DdimConfig, transition};
/// # use ddpo_core::{Condition, Denoiser, PredictionKind, Reduction, Scheduler, StepIndex};
/// # use ddpo_testing::{GaussianDenoiser, stable_diffusion_schedule};
/// # let (device, schedule) = (Device::flex(), stable_diffusion_schedule());
/// # let scheduler = Ddim::new(&schedule, DdimConfig { steps: 10, ..DdimConfig::default() })?;
/// # let denoiser = GaussianDenoiser { mean: 0.0, std: 1.0, kind: PredictionKind::Epsilon, schedule };
/// # let (sample, noise) = (Tensor::<2>::ones([2, 4], &device), Tensor::zeros([2, 4], &device));
/// let rows = [StepIndex(0), StepIndex(7)]; // every row at its own step
/// let timesteps = rows.map(|row| scheduler.timesteps()[row.0]);
/// let prediction = denoiser.predict(&sample, &timesteps, &Condition::none(2, &device))?;
/// let next = transition(&scheduler, &rows, &sample, &prediction)?; // a distribution
/// let drawn = next.sample(noise)?;
/// let log_prob = next.log_prob(&drawn, Reduction::Mean)?;
/// assert_eq!(log_prob.dims(), [2]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
pub trait Scheduler: Debug + Send + Sync {
    /// The timesteps, strictly decreasing.
    fn timesteps(&self) -> &[Timestep];

    /// The Gaussian of a step.
    ///
    /// # Errors
    /// [`Error::Index`](crate::Error::Index) for a step past the last one.
    fn coefficients(&self, step: StepIndex) -> Result<Coefficients>;

    /// What is done to the predicted clean sample.
    fn clipping(&self) -> Clipping {
        Clipping::None
    }
}

/// The distribution of the next state, each row at its own step.
///
/// Rollout and update both come through here with the same operations on the same shapes, which is why a ratio of 1 is 1.
///
/// # Shapes
/// `steps` one a row, `sample` and `prediction` `[B, ..]`.
///
/// # Errors
/// [`Error::Count`](crate::Error::Count) or [`Error::Shape`](crate::Error::Shape) if the arguments do not fit together,
/// [`Error::Index`](crate::Error::Index) for a step past the last one,
/// [`Error::UndefinedPrediction`](crate::Error::UndefinedPrediction) if the kind of prediction means nothing at a step.
pub fn transition<const D: usize>(
    scheduler: &dyn Scheduler,
    steps: &[StepIndex],
    sample: &Tensor<D>,
    prediction: &Prediction<D>,
) -> Result<Transition<D>> {
    check_count("make a transition", "steps", steps.len(), sample.dims()[0])?;
    check_shape("make a transition", &prediction.value.dims(), &sample.dims())?;
    let rows = steps.iter().map(|&step| scheduler.coefficients(step)).collect::<Result<Vec<_>>>()?;
    let (x0, epsilon) = prediction.split(sample, &rows)?;
    let column = |f: fn(&Coefficients) -> f64| per_row::<D>(rows.iter().map(f), &sample.device());
    let mean = scheduler.clipping().apply(x0) * column(|c| c.x0) + epsilon * column(|c| c.epsilon);
    let mean = mean + sample.clone() * column(|c| c.sample);
    Transition::new(mean, rows.iter().map(|c| c.std).collect())
}

/// The steps that a policy gradient can be computed of, and that start at `first_timestep` or at more noise; 0 for all.
///
/// # Errors
/// Those of [`Scheduler::coefficients`].
pub fn trained_steps(scheduler: &dyn Scheduler, first_timestep: f64) -> Result<Vec<StepIndex>> {
    let is_trained = |step: &StepIndex| scheduler.timesteps()[step.0].0 >= first_timestep;
    Ok(stochastic_steps(scheduler)?.into_iter().filter(is_trained).collect())
}

/// The steps that draw something, and so have a log-probability.
///
/// # Errors
/// Those of [`Scheduler::coefficients`].
pub fn stochastic_steps(scheduler: &dyn Scheduler) -> Result<Vec<StepIndex>> {
    let mut steps = Vec::new();
    for step in (0..scheduler.timesteps().len()).map(StepIndex) {
        if scheduler.coefficients(step)?.std > 0.0 {
            steps.push(step);
        }
    }
    Ok(steps)
}
