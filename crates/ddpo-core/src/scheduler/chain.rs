//! The noise levels a sampler walks through, shared by all schedulers over a table of ᾱ.

use crate::schedule::{NoiseSchedule, Spacing, moments};
use crate::{Error, Result, StepIndex, Timestep};

/// The timesteps of a sampler with the noise level of each, and the level that the last step arrives at.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    timesteps: Vec<Timestep>,
    /// ᾱ of each timestep, then ᾱ of the end: one more than there are steps.
    levels: Vec<f64>,
}

impl Chain {
    /// The chain that ends at `final_level`.
    pub(super) fn new(schedule: &NoiseSchedule, spacing: Spacing, steps: usize, final_level: f64) -> Result<Self> {
        let timesteps = schedule.timesteps(spacing, steps)?;
        let table = schedule.alphas_cumprod();
        let levels = timesteps.iter().map(|&t| table[t]).chain([final_level]).collect();
        Ok(Self { timesteps: moments(&timesteps), levels })
    }

    /// The chain over these moments, `levels` being ᾱ of each and then ᾱ of the end.
    pub(super) fn of(timesteps: Vec<Timestep>, levels: Vec<f64>) -> Self {
        Self { timesteps, levels }
    }

    pub(super) fn timesteps(&self) -> &[Timestep] {
        &self.timesteps
    }

    /// ᾱ before and after a step.
    pub(super) fn levels(&self, step: StepIndex) -> Result<(f64, f64)> {
        let len = self.timesteps.len();
        if step.0 >= len {
            return Err(Error::Index { what: "step", found: step.0, len });
        }
        Ok((self.levels[step.0], self.levels[step.0 + 1]))
    }
}
