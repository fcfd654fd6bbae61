//! From rewards to weights: how much of each sample a weighted regression takes.

mod contract;
mod softmax;
mod sparse;

pub use contract::{Weighting, WeightingState};
pub use softmax::SoftmaxWeights;
pub use sparse::SparseWeights;
