//! The fields of a text encoder's `config.json` that this crate computes with.

use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    fields::{Fields, divides, size},
    layers::{ClipActivation, ClipLayerShape},
};

const COMPONENT: &str = "text_encoder";

/// The shape of a CLIP text encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEncoderConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside a feed-forward layer.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// The longest text in tokens.
    pub max_position_embeddings: usize,
    /// The feed-forward activation.
    pub hidden_act: ClipActivation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// The token that starts a text.
    pub bos_token_id: u32,
    /// The token that ends a text.
    pub eos_token_id: u32,
    /// The token that fills a text up.
    pub pad_token_id: u32,
    /// Width of the projection that goes with the model elsewhere; written back only.
    pub projection_dim: usize,
}

impl TextEncoderConfig {
    /// A small encoder; the last two of its `vocabulary` tokens start and end a text.
    pub fn small(vocabulary: usize, width: usize, layers: usize, heads: usize, length: usize) -> Self {
        let end = u32::try_from(vocabulary.saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            vocab_size: vocabulary,
            hidden_size: width,
            intermediate_size: 4 * width,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            max_position_embeddings: length,
            hidden_act: ClipActivation::QuickGelu,
            layer_norm_eps: 1e-5,
            bos_token_id: end.saturating_sub(1),
            eos_token_id: end,
            pad_token_id: end,
            projection_dim: width,
        }
    }

    /// Reads a transformers `config.json` of a `CLIPTextModel`, of one with a projection, which is no part of the states, or of a
    /// whole `CLIPModel`, of which it is the `text_config`.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = text_fields(Fields::parse(COMPONENT, "text_encoder/config.json", json)?)?;
        read_settings(&mut fields)?;
        let config = Self {
            vocab_size: fields.take("vocab_size", 49408)?,
            hidden_size: fields.take("hidden_size", 512)?,
            intermediate_size: fields.take("intermediate_size", 2048)?,
            num_hidden_layers: fields.take("num_hidden_layers", 12)?,
            num_attention_heads: fields.take("num_attention_heads", 8)?,
            max_position_embeddings: fields.take("max_position_embeddings", 77)?,
            hidden_act: read_activation(&mut fields)?,
            layer_norm_eps: fields.take("layer_norm_eps", 1e-5)?,
            bos_token_id: fields.take("bos_token_id", 49406)?,
            eos_token_id: fields.take("eos_token_id", 49407)?,
            pad_token_id: fields.take("pad_token_id", 1)?,
            projection_dim: fields.take("projection_dim", 512)?,
        };
        fields.finish()?;
        config.validate()?;
        Ok(config)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    ///
    /// The first field that does not fit the others.
    pub fn validate(&self) -> Result<()> {
        for (field, value) in [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
        ] {
            size(COMPONENT, field, value)?;
        }
        divides(COMPONENT, "num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        if self.num_hidden_layers > 200 {
            return Err(Error::config(COMPONENT, "num_hidden_layers", self.num_hidden_layers, "0 to 200"));
        }
        Ok(())
    }

    /// The sizes of one of its layers.
    pub(super) fn layer_shape(&self) -> ClipLayerShape {
        ClipLayerShape {
            width: self.hidden_size,
            inner: self.intermediate_size,
            heads: self.num_attention_heads,
            depth: self.num_hidden_layers,
            epsilon: self.layer_norm_eps,
            activation: self.hidden_act,
        }
    }

    /// The `config.json` from which [`TextEncoderConfig::from_json`] and transformers read this shape.
    pub fn to_json(&self) -> Value {
        json!({
            "architectures": ["CLIPTextModel"],
            "attention_dropout": 0.0,
            "bos_token_id": self.bos_token_id,
            "dtype": "float32",
            "eos_token_id": self.eos_token_id,
            "hidden_act": activation_name(self.hidden_act),
            "hidden_size": self.hidden_size,
            "initializer_factor": 1.0,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": "clip_text_model",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "pad_token_id": self.pad_token_id,
            "projection_dim": self.projection_dim,
            "transformers_version": crate::TRANSFORMERS_VERSION,
            "vocab_size": self.vocab_size,
        })
    }
}

fn activation_name(activation: ClipActivation) -> &'static str {
    match activation {
        ClipActivation::QuickGelu => "quick_gelu",
        ClipActivation::Gelu => "gelu",
    }
}

/// The classes of transformers that have this text encoder.
const ARCHITECTURES: [&str; 3] = ["CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel"];

/// The fields of the text encoder: those of the file, or of a `CLIPModel`'s the part that is about it.
fn text_fields(mut fields: Fields) -> Result<Fields> {
    let is_whole = fields.has("text_config");
    fields.fixed("model_type", &[if is_whole { "clip" } else { "clip_text_model" }.into()])?;
    let architectures: Vec<String> = fields.take("architectures", vec![])?;
    if architectures.iter().any(|name| !ARCHITECTURES.contains(&name.as_str())) {
        return Err(fields.refuse("architectures", &json!(architectures), ARCHITECTURES.join(" or ")));
    }
    match fields.optional("text_config")? {
        Some(map) => text_fields(fields.nested(map)),
        None => Ok(fields),
    }
}

pub(crate) fn read_activation(fields: &mut Fields) -> Result<ClipActivation> {
    let name: String = fields.take("hidden_act", "quick_gelu".to_owned())?;
    match name.as_str() {
        "quick_gelu" => Ok(ClipActivation::QuickGelu),
        "gelu" => Ok(ClipActivation::Gelu),
        _ => Err(fields.refuse("hidden_act", &json!(name), "\"quick_gelu\" or \"gelu\"")),
    }
}

/// Fields without a part in the text states: how the model was made and trained, and the many settings of generation and of
/// other heads that older releases of transformers wrote into every config.
const WITHOUT_EFFECT: [&str; 54] = [
    "attention_dropout",
    "bad_words_ids",
    "begin_suppress_tokens",
    "chunk_size_feed_forward",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dropout",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "initializer_factor",
    "initializer_range",
    "is_decoder",
    "is_encoder_decoder",
    "label2id",
    "length_penalty",
    "max_length",
    "min_length",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "problem_type",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tie_word_embeddings",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers_version",
    "typical_p",
    "use_bfloat16",
    "use_cache",
];

/// Takes the fields that say nothing about the text states, and those that are accepted at their defaults only.
pub(crate) fn read_settings(fields: &mut Fields) -> Result<()> {
    fields.ignore(&WITHOUT_EFFECT);
    fields.fixed("add_cross_attention", &[false.into()])?;
    fields.fixed("cross_attention_hidden_size", &[])?;
    fields.fixed("pruned_heads", &[json!({})])?;
    // diffusers' pipelines mask the padding if this one is set.
    fields.fixed("use_attention_mask", &[false.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file of Stable Diffusion 1.5's first release, and what transformers 4.21 wrote into a config.
    #[test]
    fn old_files_are_read() {
        let json = br#"{"_name_or_path": "openai/clip-vit-large-patch14", "architectures": ["CLIPTextModel"], "attention_dropout": 0.0,
            "bos_token_id": 0, "dropout": 0.0, "eos_token_id": 2, "hidden_act": "quick_gelu", "hidden_size": 768,
            "initializer_factor": 1.0, "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
            "max_position_embeddings": 77, "model_type": "clip_text_model", "num_attention_heads": 12, "num_hidden_layers": 12,
            "pad_token_id": 1, "projection_dim": 768, "torch_dtype": "float32", "transformers_version": "4.22.0.dev0",
            "vocab_size": 49408, "add_cross_attention": false, "pruned_heads": {}, "top_p": 1.0, "is_decoder": false}"#;
        assert_eq!(TextEncoderConfig::from_json(json).unwrap().intermediate_size, 3072);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let refused = |json: &str| TextEncoderConfig::from_json(json.as_bytes()).unwrap_err().to_string();
        assert_eq!(
            refused(r#"{"rotary_base": 10000}"#),
            "`text_encoder` config field `rotary_base` is 10000, wanted no such field, or null"
        );
        assert_eq!(
            refused(r#"{"pruned_heads": {"0": [1]}}"#),
            "`text_encoder` config field `pruned_heads` is {\"0\":[1]}, wanted {} or null"
        );
        assert!(refused(r#"{"use_attention_mask": true}"#).contains("`use_attention_mask` is true"));
        assert!(refused(r#"{"quantization_config": {"bits": 4}}"#).contains("`quantization_config`"));
    }
}
