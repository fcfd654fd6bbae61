//! Which sampler makes images.

use super::choices::{SchedulerKind, SpacingKind};
use super::run::SampleOptions;

/// How noise becomes an image: the scheduler, and what it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct SamplerPlan {
    /// Which scheduler.
    pub scheduler: SchedulerKind,
    /// Denoising steps.
    pub steps: usize,
    /// How they are spread over the training timesteps.
    pub spacing: SpacingKind,
    /// Share of the DDPM noise each DDIM step adds; 0 is deterministic.
    pub eta: f64,
    /// The same for each DDIM step by itself, the noisiest first.
    pub eta_by_step: Option<Vec<f64>>,
}

impl SamplerPlan {
    /// Whether every step is deterministic: chains have no likelihood then, and no divergence from those of another model.
    #[must_use]
    pub fn is_deterministic(&self) -> bool {
        let silent = match &self.eta_by_step {
            Some(etas) => etas.iter().all(|eta| *eta == 0.0),
            None => self.eta == 0.0,
        };
        silent && self.scheduler == SchedulerKind::Ddim
    }
}

impl SampleOptions {
    /// The sampler of these options.
    #[must_use]
    pub fn sampler(&self) -> SamplerPlan {
        SamplerPlan {
            scheduler: self.scheduler,
            steps: self.steps,
            spacing: self.spacing,
            eta: self.eta,
            eta_by_step: self.eta_by_step.clone(),
        }
    }
}
