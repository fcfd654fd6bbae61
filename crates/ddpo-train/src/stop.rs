//! Stopping a run from outside, at the next step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Tensor;
use ddpo_core::{Condition, Denoiser, Prediction, Timestep};

/// A request to stop, shared by its clones: a signal handler sets it, the run looks at it between steps.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// A flag which nobody has set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop. Safe in a signal handler.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run is to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A denoiser which refuses to go on once the flag is set, so that a rollout of many steps ends at the next one.
pub(crate) struct Stoppable<'a, const D: usize> {
    pub inner: &'a dyn Denoiser<D>,
    pub stop: &'a StopFlag,
}

impl<const D: usize> Denoiser<D> for Stoppable<'_, D> {
    fn predict(&self, x: &Tensor<D>, timesteps: &[Timestep], c: &Condition) -> ddpo_core::Result<Prediction<D>> {
        if self.stop.is_set() {
            return Err(ddpo_core::Error::model("the run was asked to stop"));
        }
        self.inner.predict(x, timesteps, c)
    }
}
