//! Attention over the tokens of an image, and from an image to its text.

use burn::tensor::Tensor;
use ddpo_kernels::{Activation, Mask};

use super::{GroupNorm, Linear};
use crate::params::{Scope, Weights};

/// Keys and values, `[B, S, C]` each.
pub(crate) type KeysValues = (Tensor<3>, Tensor<3>);

/// Multi-head attention with the names of diffusers' `Attention`.
#[derive(Clone, Debug)]
pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    /// Attention of `channels` to `context` channels; `bias` is of query, key and value.
    pub(crate) fn new(scope: &mut Scope<'_>, channels: usize, context: usize, heads: usize, bias: bool) -> Self {
        let linear = if bias { Linear::new } else { Linear::without_bias };
        Self {
            query: linear(&mut scope.child("to_q"), channels, channels),
            key: linear(&mut scope.child("to_k"), context, channels),
            value: linear(&mut scope.child("to_v"), context, channels),
            output: Linear::new(&mut scope.child("to_out").child("0"), channels, channels),
            heads,
        }
    }

    /// The keys and values of a context: for a text they are the same at every step of a trajectory.
    ///
    /// # Shapes
    ///
    /// `[B, S, context] -> ([B, S, channels], [B, S, channels])`
    pub(crate) fn keys_values(&self, weights: &Weights, context: Tensor<3>) -> KeysValues {
        (self.key.forward(weights, context.clone()), self.value.forward(weights, context))
    }

    /// # Shapes
    ///
    /// `[B, T, channels] -> [B, T, channels]`
    pub(crate) fn forward(&self, weights: &Weights, x: Tensor<3>, (keys, values): KeysValues) -> Tensor<3> {
        let queries = self.query.forward(weights, x);
        let attended = ddpo_kernels::attention(queries, keys, values, self.heads, Mask::None);
        self.output.forward(weights, attended)
    }
}

/// The single-head self-attention between the two residual blocks in the middle of a VAE.
#[derive(Clone, Debug)]
pub(crate) struct SelfAttention2d {
    norm: GroupNorm,
    attention: Attention,
}

impl SelfAttention2d {
    pub(crate) fn new(scope: &mut Scope<'_>, channels: usize, groups: usize, epsilon: f64) -> Self {
        Self {
            norm: GroupNorm::new(&mut scope.child("group_norm"), channels, groups, epsilon),
            attention: Attention::new(scope, channels, channels, 1, true),
        }
    }

    /// # Shapes
    ///
    /// `[B, H, W, C] -> [B, H, W, C]`
    pub(crate) fn forward(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let tokens = self.norm.forward(weights, x.clone(), Activation::None).reshape([batch, height * width, channels]);
        let context = self.attention.keys_values(weights, tokens.clone());
        let attended = self.attention.forward(weights, tokens, context);
        x + attended.reshape([batch, height, width, channels])
    }
}
