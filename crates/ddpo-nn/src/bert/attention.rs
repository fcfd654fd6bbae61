//! Attention as BERT names its parts, of a text to itself or to a picture.

use burn::tensor::Tensor;

use super::ragged::attend;
use crate::{
    layers::{LayerNorm, Linear},
    params::{ParamScope, Weights},
};

/// PyTorch's `initializer_range` of the family.
const STD: f64 = 0.02;

/// Projections, attention.
#[derive(Clone, Debug)]
pub(super) struct SelfAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    heads: usize,
}

impl SelfAttention {
    /// Attention of `width` to `seen` channels.
    pub fn new(scope: &mut ParamScope<'_>, width: usize, seen: usize, heads: usize) -> Self {
        Self {
            query: Linear::normal(&mut scope.child("query"), width, width, STD),
            key: Linear::normal(&mut scope.child("key"), seen, width, STD),
            value: Linear::normal(&mut scope.child("value"), seen, width, STD),
            heads,
        }
    }

    /// # Shapes
    ///
    /// - `x`: `[sum of lengths, width]`, `context`: `[sum of seen, C]`
    /// - result: `[sum of lengths, width]`
    pub fn forward(
        &self,
        weights: &Weights,
        x: Tensor<2>,
        lengths: &[usize],
        (context, seen): (Tensor<2>, &[usize]),
    ) -> Tensor<2> {
        let query = self.query.forward(weights, x);
        let key = self.key.forward(weights, context.clone());
        let value = self.value.forward(weights, context);
        attend([query, key, value], lengths, seen, self.heads)
    }
}

/// A linear layer, plus the input, normalised.
#[derive(Clone, Debug)]
pub(super) struct AddNorm {
    dense: Linear,
    norm: LayerNorm,
}

impl AddNorm {
    /// The part `output` of an attention or of a layer.
    pub fn new(scope: &mut ParamScope<'_>, inputs: usize, width: usize, epsilon: f64) -> Self {
        Self {
            dense: Linear::normal(&mut scope.child("dense"), inputs, width, STD),
            norm: LayerNorm::new(&mut scope.child("LayerNorm"), width, epsilon),
        }
    }

    /// # Shapes
    ///
    /// `[N, inputs], [N, width] -> [N, width]`
    pub fn forward(&self, weights: &Weights, x: Tensor<2>, residual: Tensor<2>) -> Tensor<2> {
        self.norm.forward(weights, self.dense.forward(weights, x) + residual)
    }
}
