//! Regression on a corrected target: the loss.

use burn::Tensor;

use super::ErrorWeight;
use crate::error::{check_count, check_shape};
use crate::rows::{mean_rows, per_row};
use crate::schedule::moments;
use crate::{Coefficients, Condition, Denoiser, Error, NoiseSchedule, Prediction, PredictionKind, Result, Timestep};

/// Where a prediction is to go: from the old policy's, or the base model's, toward the noise that was added where the sample did
/// better than its peers, and away from it where it did worse,
///
/// `y = (1 − κ) p_old + κ p_base + m A (u − p_old)`,
///
/// where u is what a perfect model would say (ε, or v, or x₀). Convex whatever the sign of A, and where A = 0 nothing is to be
/// learnt but to stay.
///
/// - DiffusionNFT (Zheng et al., arXiv 2509.16117): κ = 0. Its loss of two branches with β,
///   `r ‖p₊ − u‖² + (1 − r) ‖p₋ − u‖²` with `p₊ = β p + (1 − β) p_old`, `p₋ = (1 + β) p_old − β p`, is `β² ‖p − y‖²` with
///   `m A = (2r − 1)/β` and a constant. Its `r = ½ + A/10` for A up to 5 makes `m = 1/(5β)`.
/// - RAM (arXiv 2605.10759): κ = 1, m of 100 or 1000.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CorrectedTarget {
    /// m.
    pub strength: f64,
    /// κ.
    pub anchor: f64,
    /// How errors are weighed.
    pub weight: ErrorWeight,
}

/// Clean states with noise on them, a row each.
#[derive(Clone, Copy, Debug)]
pub struct NoisedStates<'a, const D: usize> {
    /// The clean states x₀ `[B, ..]`.
    pub clean: &'a Tensor<D>,
    /// The noise ε that is added `[B, ..]`.
    pub epsilon: &'a Tensor<D>,
    /// The timestep of each row.
    pub timesteps: &'a [usize],
    /// What each row is conditioned on.
    pub condition: &'a Condition,
    /// A of each row.
    pub advantages: &'a [f32],
}

/// The three models that a corrected target is about.
#[derive(Clone, Copy)]
pub struct Models<'a, const D: usize> {
    /// The one that learns.
    pub policy: &'a dyn Denoiser<D>,
    /// The one that drew the samples; none where that is the policy as it is, which then is not asked twice.
    pub old: Option<&'a dyn Denoiser<D>>,
    /// The one that training started from; asked only where κ is not 0.
    pub base: &'a dyn Denoiser<D>,
}

/// What a minibatch of noised states costs, all `[B]`.
#[derive(Clone, Debug)]
pub struct CorrectedLoss {
    /// The weighted squared distance from the target, tracked.
    pub loss: Tensor<1>,
    /// The squared error of the policy's predicted noise, a mean over elements.
    pub denoising_error: Tensor<1>,
    /// The squared distance of the policy's predicted noise from the old policy's, a mean over elements: exactly 0 where both
    /// are the same.
    pub distance_to_old: Tensor<1>,
    /// The same from the base model's, where that was asked.
    pub distance_to_base: Option<Tensor<1>>,
}

impl Default for CorrectedTarget {
    /// DiffusionNFT with β = 1.
    fn default() -> Self {
        Self { strength: 0.2, anchor: 0.0, weight: ErrorWeight::default() }
    }
}

impl CorrectedTarget {
    /// Checks that the numbers are in range.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the strength is negative or not finite, or the anchor is not from 0 to 1; those of
    /// [`ErrorWeight::validate`].
    pub fn validate(&self) -> Result<()> {
        if !(self.strength.is_finite() && self.strength >= 0.0) {
            return Err(Error::parameter("strength of the correction", self.strength, "a finite number of at least 0"));
        }
        if !(0.0..=1.0).contains(&self.anchor) {
            return Err(Error::parameter("anchor of the correction", self.anchor, "a number from 0 to 1"));
        }
        self.weight.validate()
    }

    /// The loss of each row.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::Shape`] or [`Error::Index`] if the arguments do not fit together; those of the models.
    pub fn loss<const D: usize>(
        &self,
        schedule: &NoiseSchedule,
        states: &NoisedStates<'_, D>,
        models: &Models<'_, D>,
    ) -> Result<CorrectedLoss> {
        let noised = states.noised(schedule)?;
        let Prediction { kind, value } = noised.ask(models.policy)?;
        let old = match models.old {
            Some(old) => noised.ask(old)?.value,
            None => value.clone(),
        };
        let old = old.inner();
        let truth = kind.target(states.clean.clone(), states.epsilon.clone(), &noised.levels);
        let step = value.clone() - old.clone();
        let old_error = truth.clone() - old.clone();
        let correction = states.advantages.iter().map(|&advantage| self.strength * f64::from(advantage));
        let mut difference = step.clone() - old_error.clone() * per_row(correction, &old.device());
        let in_noise = |error: Tensor<D>| squared_noise(kind, &noised.levels, error.inner());
        let mut distance_to_base = None;
        if self.anchor != 0.0 {
            let base = noised.ask(models.base)?.value.inner();
            distance_to_base = Some(in_noise(value.clone() - base.clone()));
            difference = difference - (base - old).mul_scalar(self.anchor);
        }
        Ok(CorrectedLoss {
            loss: self.weight.apply(kind, &noised.levels, difference, old_error),
            denoising_error: in_noise(truth - value),
            distance_to_old: in_noise(step),
            distance_to_base,
        })
    }
}

/// What the models are asked about.
struct Noised<'a, const D: usize> {
    state: Tensor<D>,
    timesteps: Vec<Timestep>,
    levels: Vec<Coefficients>,
    condition: &'a Condition,
}

impl<'a, const D: usize> NoisedStates<'a, D> {
    fn noised(&self, schedule: &NoiseSchedule) -> Result<Noised<'a, D>> {
        const OPERATION: &str = "correct a target";
        check_shape(OPERATION, &self.epsilon.dims(), &self.clean.dims())?;
        let rows = self.clean.dims()[0];
        check_count(OPERATION, "conditions", self.condition.batch(), rows)?;
        check_count(OPERATION, "advantages", self.advantages.len(), rows)?;
        Ok(Noised {
            state: schedule.diffuse(self.clean.clone(), self.epsilon.clone(), self.timesteps)?,
            timesteps: moments(self.timesteps),
            levels: self.timesteps.iter().map(|&t| schedule.level(t)).collect::<Result<_>>()?,
            condition: self.condition,
        })
    }
}

impl<const D: usize> Noised<'_, D> {
    fn ask(&self, model: &dyn Denoiser<D>) -> Result<Prediction<D>> {
        let prediction = model.predict(&self.state, &self.timesteps, self.condition)?;
        check_shape("correct a target", &prediction.value.dims(), &self.state.dims())?;
        Ok(prediction)
    }
}

/// The mean square of an error, as an error of the predicted noise.
fn squared_noise<const D: usize>(kind: PredictionKind, levels: &[Coefficients], error: Tensor<D>) -> Tensor<1> {
    let scale = levels.iter().map(|level| kind.noise_error(level).powi(2));
    let scale = per_row::<1>(scale, &error.device());
    mean_rows(error.clone() * error) * scale
}
