//! The chain of consistency models (Song et al., arXiv 2303.01469, algorithm 1; Luo et al., arXiv 2310.04378): denoise at once, and
//! add fresh noise of the next level.

use super::chain::Chain;
use super::{Coefficients, Scheduler};
use crate::schedule::{NoiseSchedule, Spacing};
use crate::{Clipping, Result, StepIndex, Timestep};

/// How a consistency sampler is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConsistencyConfig {
    /// The number of steps.
    pub steps: usize,
    /// How they are spread over the training timesteps.
    pub spacing: Spacing,
    /// What is done to the predicted clean sample.
    pub clipping: Clipping,
}

/// `x' = √ᾱ' x̂₀ + √(1−ᾱ') z`, to the level of the next visited timestep; the last step arrives at clean data and draws nothing.
///
/// It runs with any denoiser, as a chain of re-noised guesses whose steps share the divergence more evenly than DDIM's with η = 1, since
/// nothing of the predicted noise is kept and every step draws as much as its level holds. Only of a consistency model is it a sampler of
/// the data: a denoiser's guess is a mean, and of means the chain keeps the mean and loses some of the spread, however many steps it has.
#[derive(Clone, Debug)]
pub struct Consistency {
    chain: Chain,
    clipping: Clipping,
}

impl Consistency {
    /// The sampler of a model with these noise levels.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) for impossible steps, see [`Spacing::timesteps`].
    pub fn new(schedule: &NoiseSchedule, config: ConsistencyConfig) -> Result<Self> {
        let chain = Chain::new(schedule, config.spacing, config.steps, 1.0)?;
        Ok(Self { chain, clipping: config.clipping })
    }
}

impl Scheduler for Consistency {
    fn timesteps(&self) -> &[Timestep] {
        self.chain.timesteps()
    }

    fn coefficients(&self, step: StepIndex) -> Result<Coefficients> {
        let (alpha, next) = self.chain.levels(step)?;
        Ok(Coefficients {
            x0: next.sqrt(),
            sample: 0.0,
            std: (1.0 - next).max(0.0).sqrt(),
            ..Coefficients::level(alpha)
        })
    }

    fn clipping(&self) -> Clipping {
        self.clipping
    }
}
