//! The text encoder as a function of its weights (transformers' `CLIPTextModel`).

use burn::tensor::{Int, Tensor, TensorData};
use ddpo_kernels::Mask;

use super::config::TextEncoderConfig;
use crate::{
    error::{Error, Result},
    layers::{ClipLayer, LayerNorm},
    params::{Init, Layout, ParamId, ParamScope, Specs, Weights},
};

/// A text encoder without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct TextEncoder {
    config: TextEncoderConfig,
    specs: Specs,
    tokens: ParamId,
    positions: ParamId,
    layers: Vec<ClipLayer>,
    norm: LayerNorm,
}

/// What a text encoder makes of a batch of texts.
#[derive(Clone, Debug)]
pub struct TextOutput {
    /// The hidden states after the final layer norm, `[B, S, hidden_size]`: what Stable Diffusion attends to.
    pub hidden: Tensor<3>,
    /// The position of each text's end.
    ends: Vec<i64>,
}

impl TextOutput {
    /// The hidden state at each text's end, `[B, hidden_size]`: what stands for the whole text (transformers' `pooler_output`).
    pub fn pooled(&self) -> Tensor<2> {
        let [batch, length, width] = self.hidden.dims();
        let rows: Vec<i64> = self.ends.iter().enumerate().map(|(text, end)| (text * length) as i64 + end).collect();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [batch]), &self.hidden.device());
        self.hidden.clone().reshape([batch * length, width]).select(0, rows)
    }
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
            .map(|i| ClipLayer::new(&mut scope.child("encoder").child("layers").child(i), config.layer_shape()))
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

    /// The states of tokenized texts: `B` lists of `S` ids.
    ///
    /// # Errors
    ///
    /// If the lists differ in length or are too long, if an id is not in the vocabulary, or if the weights are of another
    /// model.
    pub fn forward(&self, weights: &Weights, ids: &[Vec<u32>]) -> Result<TextOutput> {
        self.forward_skipping(weights, ids, 0)
    }

    /// [`TextEncoder::forward`] without the last `skipped` layers, of which diffusers' `clip_skip` is the number: 1 takes the
    /// states before the last layer, through the final layer norm.
    ///
    /// # Errors
    ///
    /// Those of [`TextEncoder::forward`], or if there are not so many layers.
    pub fn forward_skipping(&self, weights: &Weights, ids: &[Vec<u32>], skipped: usize) -> Result<TextOutput> {
        let length = self.check(weights, ids)?;
        let Some(layers) = self.layers.len().checked_sub(skipped) else {
            let wanted = format!("at most {}, the text encoder's layers", self.layers.len());
            return Err(Error::input("encode text", "number of skipped layers", skipped, wanted));
        };
        let width = self.config.hidden_size;
        let flat: Vec<i64> = ids.iter().flatten().map(|id| i64::from(*id)).collect();
        let places: Vec<i64> = (0..length as i64).collect();
        let tokens = weights.rows(self.tokens, &flat).reshape([ids.len(), length, width]);
        let mut x = tokens + weights.rows(self.positions, &places).reshape([1, length, width]);
        for layer in &self.layers[..layers] {
            x = layer.forward(weights, x, Mask::Causal);
        }
        let ends = ids.iter().map(|ids| end(ids, self.config.eos_token_id)).collect();
        Ok(TextOutput { hidden: self.norm.forward(weights, x), ends })
    }

    /// The text encoder with `rows`, `[n, hidden_size]`, behind its table of tokens: the ids from its `vocab_size` on are theirs.
    ///
    /// # Errors
    ///
    /// If the rows' width is another, or the weights are of another model.
    pub fn with_tokens(&self, weights: &Weights, rows: Tensor<2>) -> Result<(Self, Weights)> {
        let [count, width] = rows.dims();
        if width != self.config.hidden_size || !weights.fits(&self.specs) {
            return Err(Error::input("add tokens", "width of their vectors", width, self.config.hidden_size));
        }
        let grown = Self::new(TextEncoderConfig { vocab_size: self.config.vocab_size + count, ..self.config.clone() })?;
        let weights = weights.with_rows(&grown.specs, self.tokens, rows)?;
        Ok((grown, weights))
    }

    /// The position at which a text of these ids ends.
    pub(crate) fn end(&self, ids: &[u32]) -> usize {
        end(ids, self.config.eos_token_id) as usize
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

/// Transformers' position of the end of a text: its first end token. Configurations of old releases, the first Stable Diffusion's
/// among them, say 2, which ends no text; for them it is the largest id, the end token being the last of the vocabulary.
fn end(ids: &[u32], end_token: u32) -> i64 {
    const OF_OLD_RELEASES: u32 = 2;
    let token = match end_token {
        OF_OLD_RELEASES => ids.iter().max(),
        _ => Some(&end_token),
    };
    ids.iter().position(|id| Some(id) == token).unwrap_or(0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_at_its_first_end_token() {
        assert_eq!(end(&[7, 1, 9, 9, 9], 9), 2);
        assert_eq!(end(&[7, 1, 9, 0, 0], 9), 2);
        assert_eq!(end(&[7, 1, 9, 9, 2], 2), 2);
        // transformers takes the first position where there is none.
        assert_eq!(end(&[7, 1, 1], 9), 0);
    }
}
