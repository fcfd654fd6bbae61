//! The `config.json` of transformers' `CLIPModel`.

use serde_json::{Map, Value, json};

use crate::{
    error::Result,
    fields::{Fields, size},
    layers::ClipActivation,
    text::{TextEncoderConfig, read_settings},
    vision::VisionConfig,
};

const COMPONENT: &str = "clip";

/// The shapes of CLIP's two encoders.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipConfig {
    /// The encoder of texts.
    pub text: TextEncoderConfig,
    /// The encoder of pictures.
    pub vision: VisionConfig,
    /// The dimensions of the common space.
    pub projection_dim: usize,
}

impl ClipConfig {
    /// OpenCLIP's ViT-H/14, of which PickScore and HPS v2 are fine-tuned versions.
    pub fn vit_h_14() -> Self {
        Self {
            text: TextEncoderConfig {
                vocab_size: 49408,
                hidden_size: 1024,
                intermediate_size: 4096,
                num_hidden_layers: 24,
                num_attention_heads: 16,
                max_position_embeddings: 77,
                hidden_act: ClipActivation::Gelu,
                layer_norm_eps: 1e-5,
                bos_token_id: 49406,
                eos_token_id: 49407,
                pad_token_id: 0,
                projection_dim: 1024,
            },
            vision: VisionConfig {
                hidden_size: 1280,
                intermediate_size: 5120,
                num_hidden_layers: 32,
                num_attention_heads: 16,
                image_size: 224,
                patch_size: 14,
                hidden_act: ClipActivation::Gelu,
                layer_norm_eps: 1e-5,
                pre_norm: true,
                patch_bias: false,
            },
            projection_dim: 1024,
        }
    }

    /// Reads a transformers `config.json` of a `CLIPModel`.
    ///
    /// Old files have the dictionaries `text_config_dict` and `vision_config_dict`, which may be partial. Where they are,
    /// transformers takes what they say and the defaults for the rest, whatever `text_config` and `vision_config` say.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "config.json", json)?;
        read_settings(&mut fields)?;
        fields.fixed("model_type", &["clip".into()])?;
        let architectures: Vec<String> = fields.take("architectures", vec![])?;
        if architectures.iter().any(|name| name != "CLIPModel") {
            return Err(fields.refuse("architectures", &json!(architectures), "CLIPModel"));
        }
        fields.ignore(&["logit_scale_init_value"]);
        let text = part(&mut fields, "text_config")?;
        let vision = part(&mut fields, "vision_config")?;
        let config = Self {
            text: TextEncoderConfig::from_json(Value::Object(text).to_string().as_bytes())?,
            vision: VisionConfig::from_fields(fields.nested(vision))?,
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
        size(COMPONENT, "projection_dim", self.projection_dim)?;
        self.text.validate()?;
        self.vision.validate()
    }
}

/// The description of one encoder.
fn part(fields: &mut Fields, field: &str) -> Result<Map<String, Value>> {
    let whole: Option<Map<String, Value>> = fields.optional(field)?;
    let partial: Option<Map<String, Value>> = fields.optional(&format!("{field}_dict"))?;
    let mut part = partial.or(whole).unwrap_or_default();
    // A description of an encoder that is none of its own model names no class.
    part.remove("architectures");
    Ok(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_dictionaries_of_old_files_win() {
        let json = br#"{"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 1024, "logit_scale_init_value": 2.6592,
            "text_config": {"hidden_act": "quick_gelu", "hidden_size": 640, "model_type": "clip_text_model", "architectures": null},
            "text_config_dict": {"hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
                "num_hidden_layers": 24},
            "vision_config": {"hidden_act": "gelu", "hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16,
                "num_hidden_layers": 32, "patch_size": 14, "dropout": 0.0, "projection_dim": 1024},
            "vision_config_dict": null, "torch_dtype": "float32", "transformers_version": null}"#;
        let mut wanted = ClipConfig::vit_h_14();
        (wanted.text.pad_token_id, wanted.text.projection_dim) = (1, 512);
        assert_eq!(ClipConfig::from_json(json).unwrap(), wanted);
    }

    #[test]
    fn what_is_not_known_is_refused_by_name() {
        let refused = |json: &str| ClipConfig::from_json(json.as_bytes()).unwrap_err().to_string();
        assert!(refused(r#"{"model_type": "siglip"}"#).contains("`clip` config field `model_type` is \"siglip\""));
        assert!(refused(r#"{"vision_config": {"num_channels": 4}}"#).contains("`num_channels` is 4, wanted 3"));
        assert!(refused(r#"{"vision_config": {"patch_size": 0}}"#).contains("`patch_size` is 0"));
        assert!(refused(r#"{"projection_dim": 0}"#).contains("`projection_dim` is 0"));
        assert!(refused(r#"{"adapter": true}"#).contains("`adapter` is true"));
    }
}
