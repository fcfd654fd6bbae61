//! Euler's method with ancestral noise (Karras et al., arXiv 2206.00364; k-diffusion's `sample_euler_ancestral`).

use super::chain::Chain;
use super::{Coefficients, Scheduler};
use crate::schedule::{NoiseSchedule, Spacing, moments};
use crate::{Result, StepIndex, Timestep};

/// diffusers' stand-in for ᾱ = 0, where the sampler's own noise level would be infinite.
const SMALLEST_LEVEL: f64 = 1.0 / (1u64 << 24) as f64;

/// How an Euler-ancestral sampler is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EulerAncestralConfig {
    /// The number of steps.
    pub steps: usize,
    /// How they are spread over the training timesteps; linear spacing visits moments between them.
    pub spacing: Spacing,
}

/// The Euler-ancestral sampler, whose last step arrives at clean data and draws nothing.
///
/// It is written for states `x₀ + σ ε` with `σ² = (1−ᾱ)/ᾱ`. Here a state is `√ᾱ` times that, as for every other sampler, and
/// in these coordinates its step `x̂₀ + σ_down ε̂ + σ_up z` is DDIM's with η = 1:
/// `ᾱ' σ_up² = ᾱ' σ'² (σ² − σ'²)/σ² = (1−ᾱ')/(1−ᾱ) (1−ᾱ/ᾱ')`. What differs is where it goes: other default spacings, moments
/// between the training timesteps, and an end without noise. Chains start from `N(0, I)`; with trailing or linear spacing
/// diffusers starts from the slightly smaller `N(0, (1−ᾱ) I)`.
#[derive(Clone, Debug)]
pub struct EulerAncestral {
    chain: Chain,
}

impl EulerAncestral {
    /// The sampler of a model with these noise levels.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for impossible steps, see [`Spacing::timesteps`].
    pub fn new(schedule: &NoiseSchedule, config: EulerAncestralConfig) -> Result<Self> {
        let visited = schedule.timesteps(config.spacing, config.steps)?;
        let timesteps = match config.spacing {
            Spacing::Linspace => evenly(schedule.train_steps(), config.steps),
            _ => moments(&visited),
        };
        let levels = timesteps.iter().map(|t| schedule.alpha_cumprod_at(*t).map(|alpha| alpha.max(SMALLEST_LEVEL)));
        let levels = levels.chain([Ok(1.0)]).collect::<Result<_>>()?;
        Ok(Self { chain: Chain::of(timesteps, levels) })
    }
}

/// Moments from the noisiest timestep to 0, not rounded.
fn evenly(train_steps: usize, steps: usize) -> Vec<Timestep> {
    let last = (train_steps - 1) as f64;
    let step = if steps > 1 { last / (steps - 1) as f64 } else { 0.0 };
    // A single step is numpy's linspace of one, its start: the cleanest timestep.
    let first = if steps > 1 { last } else { 0.0 };
    (0..steps).map(|i| Timestep(first - step * i as f64)).collect()
}

impl Scheduler for EulerAncestral {
    fn timesteps(&self) -> &[Timestep] {
        self.chain.timesteps()
    }

    fn coefficients(&self, step: StepIndex) -> Result<Coefficients> {
        let (alpha, next) = self.chain.levels(step)?;
        Ok(Coefficients::implicit(alpha, next, 1.0))
    }
}
