//! The transformer layer of CLIP's towers (transformers' `CLIPEncoderLayer`).

use burn::tensor::Tensor;
use ddpo_kernels::Mask;

use super::{LayerNorm, Linear};
use crate::params::{ParamScope, Weights};

/// The activation inside a feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClipActivation {
    /// `x sigmoid(1.702 x)`, of SD 1.x.
    QuickGelu,
    /// The exact GELU, of SD 2.x.
    Gelu,
}

/// The sizes of a layer.
#[derive(Clone, Copy, Debug)]
pub struct ClipLayerShape {
    /// Width of the states.
    pub width: usize,
    /// Width inside the feed-forward part.
    pub inner: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Layers of the whole tower, which a fresh one's weights depend on.
    pub depth: usize,
    /// Epsilon of the norms.
    pub epsilon: f64,
    /// The activation of the feed-forward part.
    pub activation: ClipActivation,
}

/// norm, attention, plus the input; norm, feed-forward, plus the input.
#[derive(Clone, Debug)]
pub struct ClipLayer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm2: LayerNorm,
    expand: Linear,
    contract: Linear,
    heads: usize,
    activation: ClipActivation,
}

impl ClipLayer {
    /// The layer of these sizes. The standard deviations are those of transformers' `CLIPPreTrainedModel._init_weights`.
    pub fn new(scope: &mut ParamScope<'_>, shape: ClipLayerShape) -> Self {
        let ClipLayerShape { width, inner, heads, depth, epsilon, activation } = shape;
        let residual = 1.0 / ((width * 2 * depth) as f64).sqrt();
        let out = 1.0 / (width as f64).sqrt();
        let expand = 1.0 / (2.0 * width as f64).sqrt();
        let norm = |scope: &mut ParamScope<'_>, name: &str| LayerNorm::new(&mut scope.child(name), width, epsilon);
        let projection = |scope: &mut ParamScope<'_>, name: &str, std: f64| {
            Linear::normal(&mut scope.child("self_attn").child(name), width, width, std)
        };
        Self {
            norm1: norm(scope, "layer_norm1"),
            query: projection(scope, "q_proj", residual),
            key: projection(scope, "k_proj", residual),
            value: projection(scope, "v_proj", residual),
            output: projection(scope, "out_proj", out),
            norm2: norm(scope, "layer_norm2"),
            expand: Linear::normal(&mut scope.child("mlp").child("fc1"), width, inner, expand),
            contract: Linear::normal(&mut scope.child("mlp").child("fc2"), inner, width, residual),
            heads,
            activation,
        }
    }

    /// `mask` is causal for a text, none for a picture.
    ///
    /// # Shapes
    ///
    /// `[B, S, width] -> [B, S, width]`
    pub fn forward(&self, weights: &Weights, x: Tensor<3>, mask: Mask) -> Tensor<3> {
        let normed = self.norm1.forward(weights, x.clone());
        let query = self.query.forward(weights, normed.clone());
        let key = self.key.forward(weights, normed.clone());
        let value = self.value.forward(weights, normed);
        let attended = ddpo_kernels::attention(query, key, value, self.heads, mask);
        let x = x + self.output.forward(weights, attended);

        let normed = self.norm2.forward(weights, x.clone());
        let hidden = self.expand.forward(weights, normed);
        let hidden = match self.activation {
            ClipActivation::QuickGelu => ddpo_kernels::quick_gelu(hidden),
            ClipActivation::Gelu => ddpo_kernels::gelu(hidden),
        };
        x + self.contract.forward(weights, hidden)
    }
}
