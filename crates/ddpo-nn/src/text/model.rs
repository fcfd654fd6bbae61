//! The text encoder as a function of its weights (transformers' `CLIPTextModel`).

use burn::tensor::Tensor;
use ddpo_kernels::Mask;

use super::config::{TextActivation, TextEncoderConfig};
use crate::{
    error::{Error, Result},
    layers::{LayerNorm, Linear},
    params::{Init, Layout, ParamId, ParamScope, Specs, Weights},
};

/// A text encoder without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    config: TextEncoderConfig,
    specs: Specs,
    tokens: ParamId,
    positions: ParamId,
    layers: Vec<Layer>,
    norm: LayerNorm,
}

#[derive(Clone, Debug)]
struct Layer {
    norm1: LayerNorm,
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    norm2: LayerNorm,
    expand: Linear,
    contract: Linear,
}

impl TextEncoder {
    /// Describes the text encoder of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: TextEncoderConfig) -> Result<Self> {
        config.validate()?;
        let mut specs = Vec::new();
        let mut root = ParamScope::root(&mut specs);
        let mut scope = root.child("text_model");
        let mut table = |name: &str, rows: usize| {
            let mut scope = scope.child("embeddings");
            scope.child(name).param("weight", &[rows, config.hidden_size], Layout::Embedding, Init::Normal(0.02))
        };
        let tokens = table("token_embedding", config.vocab_size);
        let positions = table("position_embedding", config.max_position_embeddings);
        let layers = (0..config.num_hidden_layers)
            .map(|i| Layer::new(&mut scope.child("encoder").child("layers").child(i), &config))
            .collect();
        let norm = LayerNorm::new(&mut scope.child("final_layer_norm"), config.hidden_size, config.layer_norm_eps);
        Ok(Self { config, specs: specs.into(), tokens, positions, layers, norm })
    }

    /// The shape of the network.
    pub fn config(&self) -> &TextEncoderConfig {
        &self.config
    }

    /// The parameters of the network.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// The hidden states of tokenized texts after the final layer norm.
    ///
    /// # Shapes
    ///
    /// `B` lists of `S` ids `-> [B, S, hidden_size]`
    ///
    /// # Errors
    ///
    /// If the lists differ in length or are too long, if an id is not in the vocabulary, or if the weights are of another
    /// model.
    pub fn forward(&self, weights: &Weights, ids: &[Vec<u32>]) -> Result<Tensor<3>> {
        let length = self.check(weights, ids)?;
        let width = self.config.hidden_size;
        let flat: Vec<i64> = ids.iter().flatten().map(|id| i64::from(*id)).collect();
        let places: Vec<i64> = (0..length as i64).collect();
        let tokens = weights.rows(self.tokens, &flat).reshape([ids.len(), length, width]);
        let mut x = tokens + weights.rows(self.positions, &places).reshape([1, length, width]);
        for layer in &self.layers {
            x = layer.forward(weights, x, &self.config);
        }
        Ok(self.norm.forward(weights, x))
    }

    /// The common length of the lists.
    fn check(&self, weights: &Weights, ids: &[Vec<u32>]) -> Result<usize> {
        let refuse = |what: &str, found: usize, wanted: String| Err(Error::input("encode text", what, found, wanted));
        if !weights.fits(&self.specs) {
            let wanted = format!("the text encoder's own {}", self.specs.len());
            return refuse("number of parameters", weights.specs().len(), wanted);
        }
        let length = ids.first().map_or(0, Vec::len);
        if length == 0 || length > self.config.max_position_embeddings {
            return refuse("number of tokens", length, format!("1 to {}", self.config.max_position_embeddings));
        }
        if let Some(other) = ids.iter().find(|ids| ids.len() != length) {
            return refuse("number of tokens", other.len(), format!("{length}, as in the first text"));
        }
        match ids.iter().flatten().find(|id| **id as usize >= self.config.vocab_size) {
            Some(id) => refuse("token", *id as usize, format!("less than {}", self.config.vocab_size)),
            None => Ok(length),
        }
    }
}

impl Layer {
    /// The standard deviations are those of transformers' `CLIPPreTrainedModel._init_weights`.
    fn new(scope: &mut ParamScope<'_>, config: &TextEncoderConfig) -> Self {
        let (width, inner) = (config.hidden_size, config.intermediate_size);
        let residual = 1.0 / ((width * 2 * config.num_hidden_layers) as f64).sqrt();
        let out = 1.0 / (width as f64).sqrt();
        let expand = 1.0 / (2.0 * width as f64).sqrt();
        let norm = |scope: &mut ParamScope<'_>, name: &str| {
            LayerNorm::new(&mut scope.child(name), width, config.layer_norm_eps)
        };
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
        }
    }

    fn forward(&self, weights: &Weights, x: Tensor<3>, config: &TextEncoderConfig) -> Tensor<3> {
        let normed = self.norm1.forward(weights, x.clone());
        let query = self.query.forward(weights, normed.clone());
        let key = self.key.forward(weights, normed.clone());
        let value = self.value.forward(weights, normed);
        let attended = ddpo_kernels::attention(query, key, value, config.num_attention_heads, Mask::Causal);
        let x = x + self.output.forward(weights, attended);

        let normed = self.norm2.forward(weights, x.clone());
        let hidden = self.expand.forward(weights, normed);
        let hidden = match config.hidden_act {
            TextActivation::QuickGelu => ddpo_kernels::quick_gelu(hidden),
            TextActivation::Gelu => ddpo_kernels::gelu(hidden),
        };
        x + self.contract.forward(weights, hidden)
    }
}
