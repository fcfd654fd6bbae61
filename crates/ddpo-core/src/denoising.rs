//! How well a model predicts the noise in a clean sample, or what another model predicts there: what regressions and the anchor
//! minimise, and the diffusion classifier compares.

use burn::Tensor;

use crate::error::{check_count, check_shape};
use crate::rows::mean_rows;
use crate::schedule::moments;
use crate::{Condition, Denoiser, NoiseSchedule, Result};

/// The squared error of a model's prediction, a mean over the elements of each row: for a model of ε,
/// `‖ε − ε_θ(√ᾱ_t x₀ + √(1−ᾱ_t) ε, t, c)‖² / n`; a model of x₀ or v is compared with its own target.
///
/// # Shapes
/// `clean` and `epsilon` `[B, ..]`, `timesteps` and `condition` one a row; the result `[B]`, tracked where the denoiser is.
///
/// # Errors
/// [`Error::Count`](crate::Error::Count), [`Error::Shape`](crate::Error::Shape) or
/// [`Error::Index`](crate::Error::Index) if the arguments do not fit together; those of the model.
pub fn denoising_error<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    schedule: &NoiseSchedule,
    clean: &Tensor<D>,
    epsilon: &Tensor<D>,
    timesteps: &[usize],
    condition: &Condition,
) -> Result<Tensor<1>> {
    let noisy = noised("denoising error", schedule, clean, epsilon, timesteps, condition)?;
    let prediction = denoiser.predict(&noisy, &moments(timesteps), condition)?;
    check_shape("denoising error", &prediction.value.dims(), &clean.dims())?;
    let levels = timesteps.iter().map(|&t| schedule.level(t)).collect::<Result<Vec<_>>>()?;
    let target = prediction.kind.target(clean.clone(), epsilon.clone(), &levels);
    Ok(squared(target - prediction.value))
}

/// The squared distance between two models' predictions, a mean over the elements of each row, of noised clean samples as in
/// [`denoising_error`]. Both predict the same quantity.
///
/// # Shapes
/// Those of [`denoising_error`]; the result is tracked where `denoiser` is.
///
/// # Errors
/// Those of [`denoising_error`].
pub fn prediction_distance<const D: usize>(
    denoiser: &dyn Denoiser<D>,
    reference: &dyn Denoiser<D>,
    schedule: &NoiseSchedule,
    clean: &Tensor<D>,
    epsilon: &Tensor<D>,
    timesteps: &[usize],
    condition: &Condition,
) -> Result<Tensor<1>> {
    let noisy = noised("prediction distance", schedule, clean, epsilon, timesteps, condition)?;
    let predict = |model: &dyn Denoiser<D>| model.predict(&noisy, &moments(timesteps), condition);
    let (prediction, wanted) = (predict(denoiser)?.value, predict(reference)?.value);
    check_shape("prediction distance", &prediction.dims(), &wanted.dims())?;
    Ok(squared(prediction - wanted))
}

/// Clean samples mixed with noise, a timestep and a condition each.
fn noised<const D: usize>(
    operation: &'static str,
    schedule: &NoiseSchedule,
    clean: &Tensor<D>,
    epsilon: &Tensor<D>,
    timesteps: &[usize],
    condition: &Condition,
) -> Result<Tensor<D>> {
    check_shape(operation, &epsilon.dims(), &clean.dims())?;
    check_count(operation, "conditions", condition.batch(), clean.dims()[0])?;
    schedule.diffuse(clean.clone(), epsilon.clone(), timesteps)
}

/// The mean square of each row.
fn squared<const D: usize>(difference: Tensor<D>) -> Tensor<1> {
    mean_rows(difference.clone() * difference)
}
