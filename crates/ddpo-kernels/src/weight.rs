//! Matrices that multiply, with the packed forms the CPU kernels read.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::ops::Cache;

/// A weight matrix `[K, N]`, used as `x @ W`.
///
/// A convolution's weight is the same matrix with `K = kernel height × kernel width × channels in`,
/// in that row order.
#[derive(Clone, Debug)]
pub struct Weight {
    value: Tensor<2>,
    cache: Option<Arc<Cache>>,
}

impl Weight {
    /// A weight that never receives a gradient. Its packed forms are computed once and shared by
    /// every clone.
    pub fn frozen(value: Tensor<2>) -> Self {
        Self { value: value.without_autodiff(), cache: Some(Arc::default()) }
    }

    /// A weight that receives a gradient when `value` is tracked. It is packed at every use.
    pub fn trainable(value: Tensor<2>) -> Self {
        Self { value, cache: None }
    }

    /// The matrix, `[K, N]`.
    pub fn value(&self) -> &Tensor<2> {
        &self.value
    }

    /// Whether the weight is a constant of every graph it is used in.
    pub fn is_frozen(&self) -> bool {
        self.cache.is_some()
    }

    /// The packed forms of a frozen weight.
    pub(crate) fn cache(&self) -> Option<&Arc<Cache>> {
        self.cache.as_ref()
    }
}
