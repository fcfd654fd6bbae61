//! Policies of which several can work side by side.

use ddpo_core::Policy;

use crate::error::Result;

/// A policy which can be copied for another thread.
pub trait ForkPolicy<const D: usize>: Policy<D> + Clone + Send + Sync {
    /// The same policy with the same values and with leaves of its own: graphs which share a leaf are one graph to Burn, and
    /// would be differentiated one after the other.
    ///
    /// # Errors
    /// None that the policy's own values can cause.
    fn fork(&self) -> Result<Self> {
        let values = self.parameters().into_iter().map(|parameter| parameter.value.inner()).collect();
        let mut fork = self.clone();
        fork.set_parameters(values)?;
        Ok(fork)
    }
}

impl<P: Policy<D> + Clone + Send + Sync, const D: usize> ForkPolicy<D> for P {}
