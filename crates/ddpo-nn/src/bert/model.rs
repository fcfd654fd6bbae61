//! The encoder as a function of its weights.

use burn::tensor::Tensor;

use super::config::{BertConfig, PositionKind};
use super::layer::{BertLayer, Surroundings};
use super::ragged::Ragged;
use crate::{
    error::{Error, Result},
    layers::LayerNorm,
    params::{Init, Layout, ParamId, ParamScope, Specs, Weights},
};

/// An encoder of the BERT family without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct BertEncoder {
    config: BertConfig,
    specs: Specs,
    words: ParamId,
    /// The table of positions.
    positions: Option<ParamId>,
    /// The table of kinds of tokens.
    kinds: Option<ParamId>,
    norm: LayerNorm,
    layers: Vec<BertLayer>,
    /// The table of distances.
    distances: Option<ParamId>,
}

impl BertEncoder {
    /// Describes the encoder of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: BertConfig) -> Result<Self> {
        config.validate()?;
        let width = config.hidden_size;
        let mut specs = Vec::new();
        let mut root = ParamScope::root(&mut specs);
        let mut scope = root.child("embeddings");
        let mut table = |name: &str, rows: usize| {
            scope.child(name).param("weight", &[rows, width], Layout::Embedding, Init::Normal(0.02))
        };
        let words = table("word_embeddings", config.vocab_size);
        let is_absolute = matches!(config.positions, PositionKind::Absolute { .. });
        let positions = is_absolute.then(|| table("position_embeddings", config.max_position_embeddings));
        let kinds = (config.type_vocab_size > 0).then(|| table("token_type_embeddings", config.type_vocab_size));
        let norm = LayerNorm::new(&mut scope.child("LayerNorm"), width, config.layer_norm_eps);
        let mut scope = root.child("encoder");
        let layers = (0..config.num_hidden_layers)
            .map(|i| BertLayer::new(&mut scope.child("layer").child(i), &config))
            .collect();
        let distances = match config.positions {
            PositionKind::Absolute { .. } => None,
            PositionKind::Relative { span, .. } => {
                let shape = [2 * span, width];
                Some(scope.child("rel_embeddings").param("weight", &shape, Layout::Embedding, Init::Normal(0.02)))
            }
        };
        Ok(Self { config, specs: specs.into(), words, positions, kinds, norm, layers, distances })
    }

    /// The shape of the network.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The parameters of the network.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// The states of texts after the last layer; `context` is what each looks at by cross-attention, where there is one.
    ///
    /// # Shapes
    ///
    /// Lists of ids give rows `[sum of lengths, hidden_size]`.
    ///
    /// # Errors
    ///
    /// If a text is empty or too long, an id is not in the vocabulary, the context does not fit, or the weights are of another model.
    pub fn forward(&self, weights: &Weights, texts: &[Vec<u32>], context: Option<&Ragged>) -> Result<Ragged> {
        self.check(weights, texts, context)?;
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let surroundings = Surroundings { distances: self.distances(weights, longest), longest, context };
        let mut states = self.embed(weights, texts);
        for layer in &self.layers {
            states = layer.forward(weights, states, &lengths, &surroundings);
        }
        Ok(Ragged { states, lengths })
    }

    fn embed(&self, weights: &Weights, texts: &[Vec<u32>]) -> Tensor<2> {
        let ids: Vec<i64> = texts.iter().flatten().map(|id| i64::from(*id)).collect();
        let mut x = weights.rows(self.words, &ids);
        if let (Some(table), PositionKind::Absolute { first }) = (self.positions, self.config.positions) {
            let places: Vec<i64> =
                texts.iter().flat_map(|text| (first..first + text.len()).map(|i| i as i64)).collect();
            x = x + weights.rows(table, &places);
        }
        if let Some(table) = self.kinds {
            x = x + weights.rows(table, &[0]);
        }
        self.norm.forward(weights, x)
    }

    /// The embeddings of distances less than `longest`, the greatest negative first; what is farther than the span is at its end.
    fn distances(&self, weights: &Weights, longest: usize) -> Option<Tensor<2>> {
        let (Some(table), PositionKind::Relative { span, .. }) = (self.distances, self.config.positions) else {
            return None;
        };
        let (reach, span) = (longest.max(1) as i64, span as i64);
        let rows: Vec<i64> = (1 - reach..reach).map(|distance| (distance + span).clamp(0, 2 * span - 1)).collect();
        Some(weights.rows(table, &rows))
    }

    fn check(&self, weights: &Weights, texts: &[Vec<u32>], context: Option<&Ragged>) -> Result<()> {
        let refuse = |what: &str, found: usize, wanted: String| Err(Error::input("encode text", what, found, wanted));
        if !weights.fits(&self.specs) {
            let wanted = format!("the text encoder's own {}", self.specs.len());
            return refuse("number of parameters", weights.specs().len(), wanted);
        }
        let longest = self.config.longest();
        if let Some(text) = texts.iter().find(|text| !(1..=longest).contains(&text.len())) {
            return refuse("number of tokens", text.len(), format!("1 to {longest}"));
        }
        if texts.is_empty() {
            return refuse("number of texts", 0, "at least 1".to_owned());
        }
        if let Some(id) = texts.iter().flatten().find(|id| **id as usize >= self.config.vocab_size) {
            return refuse("token", *id as usize, format!("less than {}", self.config.vocab_size));
        }
        match (self.config.cross_width, context) {
            (None, _) => Ok(()),
            (Some(_), None) => refuse("number of contexts", 0, texts.len().to_string()),
            (Some(_), Some(context)) if context.lengths.len() != texts.len() => {
                refuse("number of contexts", context.lengths.len(), texts.len().to_string())
            }
            (Some(width), Some(context)) if context.states.dims()[1] != width => {
                refuse("width of the context", context.states.dims()[1], width.to_string())
            }
            _ => Ok(()),
        }
    }
}
