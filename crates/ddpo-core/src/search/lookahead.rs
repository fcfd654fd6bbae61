//! What a state on the way may become.

use burn::Tensor;

use crate::data::rollout::propose;
use crate::scheduler::Coefficients;
use crate::{Clipping, Condition, Denoiser, Result, Scheduler, StepIndex, Timestep};

/// How a candidate's clean sample is guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookahead {
    /// The model's guess at the candidate itself, `x̂₀`: one call.
    OneStep,
    /// The deterministic chain (DDIM with η = 0) over what is left of the sampler's timesteps, at most so many of them, evenly spread; 1 is
    /// [`Lookahead::OneStep`].
    Ode(usize),
}

impl Lookahead {
    /// The clean samples that `states`, which step `first` begins with, would become. After the last step they are clean already.
    ///
    /// # Errors
    /// Those of the model and the scheduler.
    pub(super) fn clean<const D: usize>(
        self,
        denoiser: &dyn Denoiser<D>,
        scheduler: &dyn Scheduler,
        first: usize,
        states: Tensor<D>,
        condition: &Condition,
    ) -> Result<Tensor<D>> {
        let most = match self {
            Self::OneStep => 1,
            Self::Ode(steps) => steps.max(1),
        };
        let suffix = Suffix::new(scheduler, first, most)?;
        let rows = states.dims()[0];
        (0..suffix.timesteps.len()).try_fold(states, |state, step| {
            Ok(propose(denoiser, &suffix, &vec![StepIndex(step); rows], &state, condition)?.mean().clone().detach())
        })
    }
}

/// A deterministic chain over some of a scheduler's timesteps, to the clean sample.
#[derive(Debug)]
struct Suffix {
    timesteps: Vec<Timestep>,
    coefficients: Vec<Coefficients>,
    clipping: Clipping,
}

impl Suffix {
    fn new(scheduler: &dyn Scheduler, first: usize, most: usize) -> Result<Self> {
        let all = scheduler.timesteps();
        let left = all.len().saturating_sub(first);
        let count = left.min(most);
        // The first one is where the states are; the others are spread over the rest.
        let chosen: Vec<usize> = (0..count).map(|k| first + k * left / count).collect();
        let levels = chosen.iter().map(|&i| scheduler.coefficients(StepIndex(i))).collect::<Result<Vec<_>>>()?;
        let step = |(k, level): (usize, &Coefficients)| {
            let (x0, epsilon) = levels.get(k + 1).map_or((1.0, 0.0), |next| (next.signal, next.noise));
            Coefficients { x0, epsilon, sample: 0.0, std: 0.0, ..*level }
        };
        Ok(Self {
            timesteps: chosen.iter().map(|&i| all[i]).collect(),
            coefficients: levels.iter().enumerate().map(step).collect(),
            clipping: scheduler.clipping(),
        })
    }
}

impl Scheduler for Suffix {
    fn timesteps(&self) -> &[Timestep] {
        &self.timesteps
    }

    fn coefficients(&self, step: StepIndex) -> Result<Coefficients> {
        let len = self.coefficients.len();
        self.coefficients.get(step.0).copied().ok_or(crate::Error::Index { what: "step", found: step.0, len })
    }

    fn clipping(&self) -> Clipping {
        self.clipping
    }
}
