//! The spatial transformer of a UNet (diffusers' `Transformer2DModel` over `BasicTransformerBlock`).

use burn::tensor::Tensor;
use ddpo_kernels::Activation;

use super::{Attention, Context, GroupNorm, KeysValues, LayerNorm, Linear};
use crate::params::{ParamScope, Weights};

/// The sizes of a spatial transformer.
#[derive(Clone, Copy, Debug)]
pub struct TransformerShape {
    /// Channels of the image.
    pub channels: usize,
    /// Heads of an attention.
    pub heads: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// The width of the text states.
    pub context: usize,
    /// Groups of the norm.
    pub groups: usize,
    /// Whether the files keep the projections as linear layers instead of 1x1 convolutions.
    pub linear_projection: bool,
    /// Whether the first attention of a block looks at the text as well.
    pub only_cross_attention: bool,
}

/// norm, projection, transformer blocks, projection, plus the input.
#[derive(Clone, Debug)]
pub struct Transformer {
    norm: GroupNorm,
    input: Linear,
    blocks: Vec<Block>,
    output: Linear,
}

#[derive(Clone, Debug)]
struct Block {
    norm1: LayerNorm,
    attention1: Attention,
    /// Whether `attention1` is to the text.
    first_is_cross: bool,
    norm2: LayerNorm,
    attention2: Attention,
    norm3: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl Transformer {
    /// The epsilon of the group norm is fixed in diffusers, whatever `norm_eps` says.
    const NORM_EPSILON: f64 = 1e-6;

    /// The transformer of these sizes.
    pub fn new(scope: &mut ParamScope<'_>, shape: TransformerShape) -> Self {
        let channels = shape.channels;
        let projection = if shape.linear_projection { Linear::new } else { Linear::pointwise };
        Self {
            norm: GroupNorm::new(&mut scope.child("norm"), channels, shape.groups, Self::NORM_EPSILON),
            input: projection(&mut scope.child("proj_in"), channels, channels),
            blocks: (0..shape.layers)
                .map(|i| Block::new(&mut scope.child("transformer_blocks").child(i), &shape))
                .collect(),
            output: projection(&mut scope.child("proj_out"), channels, channels),
        }
    }

    /// Appends the keys and values that this transformer takes from a text, in the order of its attentions.
    pub fn context(&self, weights: &Weights, text: &Context, out: &mut Vec<KeysValues>) {
        for block in &self.blocks {
            out.extend(block.crosses().map(|attention| attention.keys_values(weights, text)));
        }
    }

    /// `context` yields what [`Transformer::context`] appended.
    ///
    /// # Shapes
    ///
    /// `[B, H, W, C] -> [B, H, W, C]`
    pub fn forward(
        &self,
        weights: &Weights,
        x: Tensor<4>,
        context: &mut std::slice::Iter<'_, KeysValues>,
    ) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        let hidden = self.norm.forward(weights, x.clone(), Activation::None);
        let hidden = hidden.reshape([batch, height * width, channels]);
        let mut hidden = self.input.forward(weights, hidden);
        for block in &self.blocks {
            hidden = block.forward(weights, hidden, context);
        }
        let hidden = self.output.forward(weights, hidden);
        x + hidden.reshape([batch, height, width, channels])
    }
}

impl Block {
    const NORM_EPSILON: f64 = 1e-5;

    fn new(scope: &mut ParamScope<'_>, shape: &TransformerShape) -> Self {
        let TransformerShape { channels, heads, context, only_cross_attention, .. } = *shape;
        let norm = |scope: &mut ParamScope<'_>, name: &str| {
            LayerNorm::new(&mut scope.child(name), channels, Self::NORM_EPSILON)
        };
        let first_context = if only_cross_attention { context } else { channels };
        Self {
            norm1: norm(scope, "norm1"),
            attention1: Attention::new(&mut scope.child("attn1"), channels, first_context, heads, false),
            first_is_cross: only_cross_attention,
            norm2: norm(scope, "norm2"),
            attention2: Attention::new(&mut scope.child("attn2"), channels, context, heads, false),
            norm3: norm(scope, "norm3"),
            expand: Linear::new(&mut scope.child("ff").child("net").child("0").child("proj"), channels, 8 * channels),
            contract: Linear::new(&mut scope.child("ff").child("net").child("2"), 4 * channels, channels),
        }
    }

    fn crosses(&self) -> impl Iterator<Item = &Attention> {
        self.first_is_cross.then_some(&self.attention1).into_iter().chain([&self.attention2])
    }

    fn forward(&self, weights: &Weights, x: Tensor<3>, context: &mut std::slice::Iter<'_, KeysValues>) -> Tensor<3> {
        let normed = self.norm1.forward(weights, x.clone());
        let own = |normed: &Tensor<3>| self.attention1.own_keys_values(weights, normed.clone());
        let keys_values = if self.first_is_cross { context.next().cloned() } else { None };
        let keys_values = keys_values.unwrap_or_else(|| own(&normed));
        let x = x + self.attention1.forward(weights, normed, keys_values);

        let normed = self.norm2.forward(weights, x.clone());
        let x = match context.next() {
            Some(keys_values) => x + self.attention2.forward(weights, normed, keys_values.clone()),
            None => x,
        };

        let normed = self.norm3.forward(weights, x.clone());
        let hidden = self.expand.forward_geglu(weights, normed);
        x + self.contract.forward(weights, hidden)
    }
}
