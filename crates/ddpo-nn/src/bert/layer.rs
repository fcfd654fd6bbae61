//! A layer of the family: attention, cross-attention where there is one, feed-forward; each plus its input, then a norm.

use burn::tensor::Tensor;

use super::attention::{AddNorm, SelfAttention};
use super::config::{BertConfig, PositionKind};
use super::disentangled::DisentangledAttention;
use super::ragged::Ragged;
use crate::{
    layers::Linear,
    params::{ParamScope, Weights},
};

/// The attention of a text to itself.
#[derive(Clone, Debug)]
enum Attention {
    Plain(SelfAttention),
    Disentangled(DisentangledAttention),
}

/// The layer.
#[derive(Clone, Debug)]
pub(super) struct BertLayer {
    attention: Attention,
    attention_output: AddNorm,
    cross: Option<(SelfAttention, AddNorm)>,
    expand: Linear,
    contract: AddNorm,
}

/// What the layers of an encoder look at besides the texts.
pub(super) struct Surroundings<'a> {
    /// The embeddings of distances less than the longest text, `[2 longest - 1, C]`; none where positions are absolute.
    pub distances: Option<Tensor<2>>,
    /// The length of the longest text.
    pub longest: usize,
    /// What each text looks at by cross-attention.
    pub context: Option<&'a Ragged>,
}

impl BertLayer {
    pub fn new(scope: &mut ParamScope<'_>, config: &BertConfig) -> Self {
        let (width, heads, inner) = (config.hidden_size, config.num_attention_heads, config.intermediate_size);
        let epsilon = config.layer_norm_eps;
        let mut of = scope.child("attention");
        let attention = match config.positions {
            PositionKind::Absolute { .. } => {
                Attention::Plain(SelfAttention::new(&mut of.child("self"), width, width, heads))
            }
            PositionKind::Relative { content_to_position, position_to_content, .. } => {
                Attention::Disentangled(DisentangledAttention::new(
                    &mut of.child("self"),
                    width,
                    heads,
                    content_to_position,
                    position_to_content,
                ))
            }
        };
        let attention_output = AddNorm::new(&mut of.child("output"), width, width, epsilon);
        let cross = config.cross_width.map(|seen| {
            let mut of = scope.child("crossattention");
            let attention = SelfAttention::new(&mut of.child("self"), width, seen, heads);
            (attention, AddNorm::new(&mut of.child("output"), width, width, epsilon))
        });
        let expand = Linear::normal(&mut scope.child("intermediate").child("dense"), width, inner, 0.02);
        let contract = AddNorm::new(&mut scope.child("output"), inner, width, epsilon);
        Self { attention, attention_output, cross, expand, contract }
    }

    /// # Shapes
    ///
    /// `[sum of lengths, hidden_size] -> [sum of lengths, hidden_size]`
    pub fn forward(
        &self,
        weights: &Weights,
        x: Tensor<2>,
        lengths: &[usize],
        surroundings: &Surroundings<'_>,
    ) -> Tensor<2> {
        let attended = match (&self.attention, &surroundings.distances) {
            (Attention::Plain(attention), _) => attention.forward(weights, x.clone(), lengths, (x.clone(), lengths)),
            (Attention::Disentangled(attention), Some(embeddings)) => {
                let distances = attention.distances(weights, embeddings, surroundings.longest);
                attention.forward(weights, x.clone(), lengths, &distances)
            }
            // An encoder with such layers always has the embeddings.
            (Attention::Disentangled(_), None) => x.clone(),
        };
        let mut x = self.attention_output.forward(weights, attended, x);
        if let (Some((attention, output)), Some(context)) = (&self.cross, surroundings.context) {
            let context = (context.states.clone(), context.lengths.as_slice());
            let attended = attention.forward(weights, x.clone(), lengths, context);
            x = output.forward(weights, attended, x);
        }
        let hidden = ddpo_kernels::gelu(self.expand.forward(weights, x.clone()));
        self.contract.forward(weights, hidden, x)
    }
}
