//! Latent consistency distillation: a few-step model out of one that takes many.

use burn::Tensor;

use crate::error::{check_count, check_shape};
use crate::rows::{mean_rows, per_row};
use crate::schedule::moments;
use crate::{Coefficients, Condition, Denoiser, Error, NoiseSchedule, Result};

/// Latent consistency distillation (Luo et al., arXiv 2310.04378; consistency models: Song et al., arXiv 2303.01469, algorithm 2). The teacher's
/// deterministic chain visits a grid of timesteps; wherever one is on it, the student's guess at the clean sample shall be the guess one step of
/// the teacher further:
///
/// `x_t = √ᾱ_t x₀ + √(1−ᾱ_t) ε`, `x̂_s = DDIM_teacher(x_t; t → s)`, `L = mean(√((f_θ(x_t, t) − f⁻(x̂_s, s))² + h²) − h)`,
///
/// with f = x̂₀ and f⁻ a moving average of the student. From the last step of the grid the teacher arrives at clean data, which is its own
/// guess: there f⁻ is what it is given, the condition at the boundary that all others lean on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConsistencyDistillation {
    /// h of the pseudo-Huber loss: from about which difference on an error counts by itself and not by its square.
    pub huber: f64,
}

/// Clean samples and how they are mixed with noise.
#[derive(Clone, Copy, Debug)]
pub struct GridStates<'a, const D: usize> {
    /// Clean samples, `[B, ..]`.
    pub clean: &'a Tensor<D>,
    /// The noise they are mixed with, `[B, ..]`.
    pub epsilon: &'a Tensor<D>,
    /// The timesteps that the teacher visits, the noisiest first.
    pub grid: &'a [usize],
    /// The place on the grid of each row.
    pub places: &'a [usize],
    /// What each row is conditioned on.
    pub condition: &'a Condition,
}

/// Who is asked.
#[derive(Clone, Copy)]
pub struct DistillationModels<'a, const D: usize> {
    /// f_θ, which learns; tracked.
    pub student: &'a dyn Denoiser<D>,
    /// f⁻, which follows it.
    pub target: &'a dyn Denoiser<D>,
    /// The model of many steps, with guidance if that is to be learnt too.
    pub teacher: &'a dyn Denoiser<D>,
}

/// The loss of each row, `[B]`.
#[derive(Clone, Debug)]
pub struct DistillationLoss {
    /// What is minimised; tracked.
    pub loss: Tensor<1>,
    /// The squared distance of the student's guess from its target, a mean over elements; not tracked.
    pub distance: Tensor<1>,
}

impl Default for ConsistencyDistillation {
    /// The paper's.
    fn default() -> Self {
        Self { huber: 1e-3 }
    }
}

impl ConsistencyDistillation {
    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming what does not fit.
    pub fn validate(&self) -> Result<()> {
        match self.huber.is_finite() && self.huber > 0.0 {
            true => Ok(()),
            false => Err(Error::parameter("h of the pseudo-Huber loss", self.huber, "a finite number above 0")),
        }
    }

    /// The loss of each row.
    ///
    /// # Errors
    /// [`Error::Count`], [`Error::Shape`] or [`Error::Index`] if the arguments do not fit together; those of the models.
    pub fn loss<const D: usize>(
        &self,
        schedule: &NoiseSchedule,
        states: &GridStates<'_, D>,
        models: &DistillationModels<'_, D>,
    ) -> Result<DistillationLoss> {
        let rows = states.rows(schedule)?;
        let noisy = schedule.diffuse(states.clean.clone(), states.epsilon.clone(), &rows.timesteps)?;
        let (next, levels) = rows.teacher_step(models.teacher, &noisy, states.condition)?;
        let guess = clean_guess(models.student, &noisy, &rows.timesteps, &rows.levels, states.condition)?;
        let followed = clean_guess(models.target, &next, &rows.next_timesteps, &levels, states.condition)?.inner();
        // Where the teacher has arrived, its state is the target.
        let is_last = per_row::<D>(rows.is_last.iter().map(|&last| f64::from(u8::from(last))), &next.device());
        let is_other = is_last.clone().mul_scalar(-1.0).add_scalar(1.0);
        let target = next * is_last + followed * is_other;
        let difference = guess - target;
        let squared = difference.clone() * difference;
        let huber = squared.clone().add_scalar(self.huber * self.huber).sqrt().sub_scalar(self.huber);
        Ok(DistillationLoss { loss: mean_rows(huber), distance: mean_rows(squared.inner()) })
    }
}

/// Where rows are on the grid, and where one step of the teacher takes them.
struct Rows {
    timesteps: Vec<usize>,
    levels: Vec<Coefficients>,
    /// Of a row that arrives, its own timestep: the target model is asked about all rows in one call.
    next_timesteps: Vec<usize>,
    /// Signal and noise of where the teacher arrives.
    next: Vec<[f64; 2]>,
    is_last: Vec<bool>,
}

impl<const D: usize> GridStates<'_, D> {
    fn rows(&self, schedule: &NoiseSchedule) -> Result<Rows> {
        const OPERATION: &str = "distil";
        check_shape(OPERATION, &self.epsilon.dims(), &self.clean.dims())?;
        let count = self.clean.dims()[0];
        check_count(OPERATION, "conditions", self.condition.batch(), count)?;
        check_count(OPERATION, "places on the grid", self.places.len(), count)?;
        let at = |place: usize| {
            let missing = Error::Index { what: "place on the grid", found: place, len: self.grid.len() };
            self.grid.get(place).copied().ok_or(missing)
        };
        let timesteps = self.places.iter().map(|&place| at(place)).collect::<Result<Vec<_>>>()?;
        let is_last: Vec<bool> = self.places.iter().map(|&place| place + 1 == self.grid.len()).collect();
        let next_timesteps: Vec<usize> =
            self.places.iter().map(|&place| self.grid[(place + 1).min(self.grid.len() - 1)]).collect();
        let next = |(&timestep, &last): (&usize, &bool)| {
            let level = schedule.level(timestep)?;
            Ok(if last { [1.0, 0.0] } else { [level.signal, level.noise] })
        };
        Ok(Rows {
            levels: timesteps.iter().map(|&timestep| schedule.level(timestep)).collect::<Result<_>>()?,
            next: next_timesteps.iter().zip(&is_last).map(next).collect::<Result<_>>()?,
            timesteps,
            next_timesteps,
            is_last,
        })
    }
}

impl Rows {
    /// Where one deterministic step of the teacher takes `noisy`, and the levels at which the target model is asked about it.
    fn teacher_step<const D: usize>(
        &self,
        teacher: &dyn Denoiser<D>,
        noisy: &Tensor<D>,
        condition: &Condition,
    ) -> Result<(Tensor<D>, Vec<Coefficients>)> {
        let prediction = teacher.predict(noisy, &moments(&self.timesteps), condition)?;
        check_shape("distil", &prediction.value.dims(), &noisy.dims())?;
        let (x0, epsilon) = prediction.split(noisy, &self.levels)?;
        let column = |i: usize| per_row::<D>(self.next.iter().map(move |level| level[i]), &noisy.device());
        let next = (x0 * column(0) + epsilon * column(1)).inner();
        let levels = self.next.iter().zip(&self.is_last).zip(&self.levels);
        // Of a row that arrives the answer is not used; its own level keeps it finite.
        let levels = levels.map(|(([signal, noise], last), own)| match last {
            true => *own,
            false => Coefficients { signal: *signal, noise: *noise, ..*own },
        });
        Ok((next, levels.collect()))
    }
}

/// A model's guess at the clean samples.
fn clean_guess<const D: usize>(
    model: &dyn Denoiser<D>,
    states: &Tensor<D>,
    timesteps: &[usize],
    levels: &[Coefficients],
    condition: &Condition,
) -> Result<Tensor<D>> {
    let prediction = model.predict(states, &moments(timesteps), condition)?;
    check_shape("distil", &prediction.value.dims(), &states.dims())?;
    Ok(prediction.split(states, levels)?.0)
}
