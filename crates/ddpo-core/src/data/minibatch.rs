//! What one gradient is computed from.

use burn::Tensor;

use crate::{Condition, StepIndex};

/// Some (chain, step) actions of a training set as tensors, an action a row.
#[derive(Clone, Debug)]
pub struct Minibatch<const D: usize> {
    /// The step of each row.
    pub steps: Vec<StepIndex>,
    /// The states `x_t` `[B, ..]`.
    pub sample: Tensor<D>,
    /// The actions `x_{t−1}` `[B, ..]`.
    pub next: Tensor<D>,
    /// The actions' log-probabilities when they were drawn, `[B]`.
    pub old_log_prob: Tensor<1>,
    /// The chains' advantages, `[B]`.
    pub advantage: Tensor<1>,
    /// What the chains are conditioned on.
    pub condition: Condition,
}
