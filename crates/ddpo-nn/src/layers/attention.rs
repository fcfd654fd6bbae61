//! Attention over the tokens of an image, and from an image to its text.

use std::sync::Arc;

use burn::tensor::Tensor;
use ddpo_kernels::{Activation, Mask};

use super::{GroupNorm, Linear};
use crate::params::{ParamScope, Weights};

/// What attention looks at: states `[U, S, C]`, and which of them each sample's are if several samples share them.
#[derive(Clone, Debug)]
pub struct Context {
    states: Tensor<3>,
    rows: Option<Arc<[usize]>>,
}

impl Context {
    /// The states of a batch `[B, S, C]`. Of a text that several samples have, as the empty one under guidance, keys and
    /// values are then computed once.
    pub fn new(states: &Tensor<3>) -> Self {
        match ddpo_kernels::distinct(states) {
            Some((states, rows)) => Self { states, rows: Some(rows) },
            None => Self::own(states.clone()),
        }
    }

    /// States of which each sample has its own.
    fn own(states: Tensor<3>) -> Self {
        Self { states, rows: None }
    }
}

/// Keys and values, `[U, S, C]` each, and which of them each sample's are if several samples share them.
#[derive(Clone, Debug)]
pub struct KeysValues {
    keys: Tensor<3>,
    values: Tensor<3>,
    rows: Option<Arc<[usize]>>,
}

/// Multi-head attention with the names of diffusers' `Attention`.
#[derive(Clone, Debug)]
pub struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    /// Attention of `channels` to `context` channels; `bias` is of query, key and value.
    pub fn new(scope: &mut ParamScope<'_>, channels: usize, context: usize, heads: usize, bias: bool) -> Self {
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
    /// States `[U, S, context]` give keys and values `[U, S, channels]`.
    pub fn keys_values(&self, weights: &Weights, context: &Context) -> KeysValues {
        KeysValues {
            keys: self.key.forward(weights, context.states.clone()),
            values: self.value.forward(weights, context.states.clone()),
            rows: context.rows.clone(),
        }
    }

    /// The keys and values of what each sample has itself.
    ///
    /// # Shapes
    ///
    /// `[B, S, context]`
    pub fn own_keys_values(&self, weights: &Weights, states: Tensor<3>) -> KeysValues {
        self.keys_values(weights, &Context::own(states))
    }

    /// What each token of `x` takes from a context of [`Attention::keys_values`].
    ///
    /// # Shapes
    ///
    /// `[B, T, channels] -> [B, T, channels]`
    pub fn forward(&self, weights: &Weights, x: Tensor<3>, context: KeysValues) -> Tensor<3> {
        let queries = self.query.forward(weights, x);
        let KeysValues { keys, values, rows } = context;
        let attended = match rows {
            rows if self.query.is_half(weights) => {
                ddpo_kernels::half_attention(queries, keys, values, self.heads, rows.as_ref())
            }
            Some(rows) => ddpo_kernels::shared_attention(queries, keys, values, self.heads, &rows),
            None => ddpo_kernels::attention(queries, keys, values, self.heads, Mask::None),
        };
        self.output.forward(weights, attended)
    }
}

/// The single-head self-attention between the two residual blocks in the middle of a VAE.
#[derive(Clone, Debug)]
pub struct SelfAttention2d {
    norm: GroupNorm,
    attention: Attention,
}

impl SelfAttention2d {
    /// Attention over an image of `channels`, behind a norm in `groups`.
    pub fn new(scope: &mut ParamScope<'_>, channels: usize, groups: usize, epsilon: f64) -> Self {
        Self {
            norm: GroupNorm::new(&mut scope.child("group_norm"), channels, groups, epsilon),
            attention: Attention::new(scope, channels, channels, 1, true),
        }
    }

    /// # Shapes
    ///
    /// `[B, H, W, C] -> [B, H, W, C]`
    pub fn forward(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let tokens = self.norm.forward(weights, x.clone(), Activation::None).reshape([batch, height * width, channels]);
        let context = self.attention.own_keys_values(weights, tokens.clone());
        let attended = self.attention.forward(weights, tokens, context);
        x + attended.reshape([batch, height, width, channels])
    }
}
