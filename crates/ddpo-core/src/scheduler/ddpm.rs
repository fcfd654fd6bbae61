//! DDPM (Ho et al., arXiv 2006.11239): the posterior of the forward process.

use super::chain::Chain;
use super::{Coefficients, Scheduler};
use crate::schedule::{NoiseSchedule, Spacing};
use crate::{Clipping, Result, StepIndex, Timestep};

/// How a DDPM sampler is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdpmConfig {
    /// The number of steps.
    pub steps: usize,
    /// How they are spread over the training timesteps.
    pub spacing: Spacing,
    /// What is done to the predicted clean sample.
    pub clipping: Clipping,
}

impl Default for DdpmConfig {
    fn default() -> Self {
        Self { steps: 50, spacing: Spacing::Leading { offset: 1 }, clipping: Clipping::None }
    }
}

/// The DDPM sampler with the smaller of the paper's variances, β̃ (`fixed_small` in diffusers).
///
/// The last step arrives at clean data and draws nothing. diffusers clamps its variance to 1e-20 instead, a density in name
/// only.
#[derive(Clone, Debug)]
pub struct Ddpm {
    chain: Chain,
    clipping: Clipping,
}

impl Ddpm {
    /// The sampler of a model with these noise levels.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for impossible steps, see [`Spacing::timesteps`].
    pub fn new(schedule: &NoiseSchedule, config: DdpmConfig) -> Result<Self> {
        let chain = Chain::new(schedule, config.spacing, config.steps, 1.0)?;
        Ok(Self { chain, clipping: config.clipping })
    }
}

impl Scheduler for Ddpm {
    fn timesteps(&self) -> &[Timestep] {
        self.chain.timesteps()
    }

    /// Equation 7: with `α = ᾱ/ᾱ'`, mean `√ᾱ' (1−α)/(1−ᾱ) x̂₀ + √α (1−ᾱ')/(1−ᾱ) x_t`, variance `(1−ᾱ')/(1−ᾱ) (1−α)`.
    fn coefficients(&self, step: StepIndex) -> Result<Coefficients> {
        let (alpha_bar, next) = self.chain.levels(step)?;
        let alpha = alpha_bar / next;
        Ok(Coefficients {
            x0: next.sqrt() * (1.0 - alpha) / (1.0 - alpha_bar),
            epsilon: 0.0,
            sample: alpha.sqrt() * (1.0 - next) / (1.0 - alpha_bar),
            std: ((1.0 - next) / (1.0 - alpha_bar) * (1.0 - alpha)).sqrt(),
            ..Coefficients::level(alpha_bar)
        })
    }

    fn clipping(&self) -> Clipping {
        self.clipping
    }
}
