//! The contract of an objective.

use burn::Tensor;

use super::Diagnostics;
use crate::Result;
use crate::error::check_shape;

/// What an objective may look at: one entry per (sample, step) pair of a minibatch, all `[B]` and f32.
#[derive(Clone, Copy, Debug)]
pub struct LogProbTerms<'a> {
    /// ℓ, the log-probability of the action under the policy as it is now; tracked.
    pub new: &'a Tensor<1>,
    /// ℓ_old, the same when the action was drawn.
    pub old: &'a Tensor<1>,
    /// A, how much better than its peers the sample turned out.
    pub advantage: &'a Tensor<1>,
}

/// A loss and what it looked like on the way.
#[derive(Clone, Debug)]
pub struct Loss {
    /// The number to minimise, `[1]`, tracked.
    pub value: Tensor<1>,
    /// How far the policy has moved.
    pub diagnostics: Diagnostics,
}

/// A surrogate whose gradient improves the policy. A pure function.
///
/// ```text
/// let new = propose(&guided, scheduler, &minibatch.steps, &minibatch.sample, &minibatch.condition)?
///     .log_prob(&minibatch.next, reduction)?;
/// let terms = LogProbTerms { new: &new, old: &minibatch.old_log_prob, advantage: &minibatch.advantage };
/// let gradients = objective.loss(&terms)?.value.backward();
/// ```
pub trait Objective: Send + Sync {
    /// The loss of a minibatch: the mean over its pairs.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if the terms differ in length.
    fn loss(&self, terms: &LogProbTerms<'_>) -> Result<Loss>;
}

impl LogProbTerms<'_> {
    pub(super) fn check(&self) -> Result<()> {
        check_shape("loss: old log-probabilities", &self.old.dims(), &self.new.dims())?;
        check_shape("loss: advantages", &self.advantage.dims(), &self.new.dims())
    }
}
