//! DDIM (Song et al., arXiv 2010.02502) with its family of variances η.

use super::chain::Chain;
use super::{Coefficients, Scheduler};
use crate::error::check_count;
use crate::schedule::{NoiseSchedule, Spacing};
use crate::{Clipping, Error, Result, StepIndex, Timestep};

/// How a DDIM sampler is set up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DdimConfig {
    /// The number of steps.
    pub steps: usize,
    /// How they are spread over the training timesteps.
    pub spacing: Spacing,
    /// The noise of a step: 0 draws nothing, 1 has the variance of DDPM.
    pub eta: f64,
    /// Whether the last step arrives at clean data (and then draws nothing) rather than at the first training timestep.
    pub set_alpha_to_one: bool,
    /// What is done to the predicted clean sample.
    pub clipping: Clipping,
}

impl Default for DdimConfig {
    /// Stable Diffusion's sampler as DDPO uses it: 50 steps, η = 1, and noise in the last step.
    fn default() -> Self {
        Self {
            steps: 50,
            spacing: Spacing::Leading { offset: 1 },
            eta: 1.0,
            set_alpha_to_one: false,
            clipping: Clipping::None,
        }
    }
}

/// The DDIM sampler.
///
/// A step goes from one visited timestep to the next visited one, so that the model is always called at the noise level that
/// its sample has. diffusers steps to `t − ⌊T/n⌋` instead; the two are the same for leading spacing and wherever n divides T.
#[derive(Clone, Debug)]
pub struct Ddim {
    chain: Chain,
    /// η of every step.
    etas: Vec<f64>,
    clipping: Clipping,
}

impl Ddim {
    /// The sampler of a model with these noise levels.
    ///
    /// # Errors
    /// [`Error::Parameter`] if η is not in `[0, 1]`, or for impossible steps, see [`Spacing::timesteps`].
    pub fn new(schedule: &NoiseSchedule, config: DdimConfig) -> Result<Self> {
        let last = if config.set_alpha_to_one { 1.0 } else { schedule.alphas_cumprod()[0] };
        let chain = Chain::new(schedule, config.spacing, config.steps, last)?;
        let etas = vec![config.eta; config.steps];
        Self { chain, etas: Vec::new(), clipping: config.clipping }.with_etas(etas)
    }

    /// The same sampler with an η of its own for every step, the noisiest first. A step of η = 0 draws nothing: it has no
    /// log-probability, no gradient and no divergence.
    ///
    /// # Errors
    /// [`Error::Parameter`] if one is not in `[0, 1]`, [`Error::Count`] if there is not one a step.
    pub fn with_etas(self, etas: Vec<f64>) -> Result<Self> {
        if let Some(eta) = etas.iter().find(|eta| !(0.0..=1.0).contains(*eta)) {
            return Err(Error::parameter("eta", eta, "a number from 0 to 1"));
        }
        check_count("set the noise of the steps", "etas", etas.len(), self.timesteps().len())?;
        Ok(Self { etas, ..self })
    }
}

impl Scheduler for Ddim {
    fn timesteps(&self) -> &[Timestep] {
        self.chain.timesteps()
    }

    fn coefficients(&self, step: StepIndex) -> Result<Coefficients> {
        let (alpha, next) = self.chain.levels(step)?;
        Ok(Coefficients::implicit(alpha, next, self.etas[step.0]))
    }

    fn clipping(&self) -> Clipping {
        self.clipping
    }
}
