//! The contract of a model that learns.

use burn::Tensor;

use crate::{Denoiser, Parameter, Result};

/// A denoiser with trainable parameters: an adapter over a frozen base, or a whole network.
///
/// ```text
/// let rollout = rollout(&*policy.sampler(), ..)?;               // no graph
/// let loss = objective.loss(..policy.predict(..)..)?;           // a graph that ends in the parameters
/// let gradients = loss.value.backward();
/// let values = policy.parameters().iter().map(|p| optimizer.step(p, p.value.grad(&gradients))).collect();
/// policy.set_parameters(values)?;
/// ```
///
/// `predict` of the policy itself is tracked and has the same values, to the bit, as `predict` of its sampler.
pub trait Policy<const D: usize>: Denoiser<D> {
    /// The trainable parameters, always in the same order: leaves of the graph that `predict` builds.
    fn parameters(&self) -> Vec<Parameter>;

    /// Replaces the parameters by plain values `[n]`, in the order of [`parameters`](Self::parameters).
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) or [`Error::Shape`](crate::Error::Shape) if they do not fit.
    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> Result<()>;

    /// The same model with the same parameters, building no graph.
    fn sampler(&self) -> Box<dyn Denoiser<D> + '_>;

    /// The model that training started from, frozen adapters included: the anchor of the KL divergence.
    fn reference(&self) -> Box<dyn Denoiser<D> + '_>;
}
