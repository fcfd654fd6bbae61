//! The `open_clip_config.json` of OpenCLIP's repositories.

use serde_json::{Map, Value, json};

use crate::{error::Result, fields::Fields, layers::ClipActivation, text::TextEncoderConfig, vision::VisionConfig};

use super::ClipConfig;

const COMPONENT: &str = "open_clip";

/// Reads the description of a CLIP whose encoders are OpenCLIP's own transformers.
pub(super) fn read_config(json: &[u8]) -> Result<ClipConfig> {
    let mut fields = Fields::parse(COMPONENT, "open_clip_config.json", json)?;
    // Its preprocessing is that of CLIP; what else it may say would need another processor.
    let mut preprocessing = nested(&mut fields, "preprocess_cfg")?;
    preprocessing.fixed("interpolation", &["bicubic".into()])?;
    preprocessing.fixed("resize_mode", &["shortest".into()])?;
    preprocessing.ignore(&["mean", "std", "size", "mode", "fill_color"]);
    preprocessing.finish()?;
    let mut model = nested(&mut fields, "model_cfg")?;
    fields.finish()?;
    let quick: bool = model.take("quick_gelu", false)?;
    let activation = if quick { ClipActivation::QuickGelu } else { ClipActivation::Gelu };
    let projection_dim = model.take("embed_dim", 512)?;
    let vision = read_vision(nested(&mut model, "vision_cfg")?, activation)?;
    let text = read_text(nested(&mut model, "text_cfg")?, activation, projection_dim)?;
    model.fixed("custom_text", &[false.into()])?;
    model.ignore(&["init_logit_scale"]);
    model.finish()?;
    let config = ClipConfig { text, vision, projection_dim };
    config.validate()?;
    Ok(config)
}

fn nested(fields: &mut Fields, field: &str) -> Result<Fields> {
    let map: Map<String, Value> = fields.optional(field)?.unwrap_or_default();
    Ok(fields.nested(map))
}

fn read_vision(mut fields: Fields, hidden_act: ClipActivation) -> Result<VisionConfig> {
    let width: usize = fields.take("width", 768)?;
    let head: usize = fields.take("head_width", 64)?;
    let config = VisionConfig {
        hidden_size: width,
        intermediate_size: inner(&mut fields, width)?,
        num_hidden_layers: fields.take("layers", 12)?,
        num_attention_heads: width / head.max(1),
        image_size: fields.take("image_size", 224)?,
        patch_size: fields.take("patch_size", 16)?,
        hidden_act,
        layer_norm_eps: 1e-5,
        pre_norm: true,
        patch_bias: false,
    };
    fields.ignore(&["patch_dropout"]);
    fields.finish()?;
    Ok(config)
}

fn read_text(mut fields: Fields, hidden_act: ClipActivation, projection_dim: usize) -> Result<TextEncoderConfig> {
    /// By which transformers' old files say that the largest id ends a text, which is OpenCLIP's rule.
    const LARGEST_ID: u32 = 2;
    let width: usize = fields.take("width", 512)?;
    let vocab_size: usize = fields.take("vocab_size", 49408)?;
    let config = TextEncoderConfig {
        vocab_size,
        hidden_size: width,
        intermediate_size: inner(&mut fields, width)?,
        num_hidden_layers: fields.take("layers", 12)?,
        num_attention_heads: fields.take("heads", 8)?,
        max_position_embeddings: fields.take("context_length", 77)?,
        hidden_act,
        layer_norm_eps: 1e-5,
        bos_token_id: 49406,
        eos_token_id: LARGEST_ID,
        pad_token_id: 0,
        projection_dim,
    };
    fields.finish()?;
    Ok(config)
}

/// The width inside a feed-forward layer.
fn inner(fields: &mut Fields, width: usize) -> Result<usize> {
    let ratio: f64 = fields.take("mlp_ratio", 4.0)?;
    match ratio.is_finite() && ratio > 0.0 && ratio < 64.0 {
        true => Ok((width as f64 * ratio) as usize),
        false => Err(fields.refuse("mlp_ratio", &json!(ratio), "more than 0 and less than 64")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_vit_h_14_is_the_built_in_shape() {
        let json = br#"{"model_cfg": {"embed_dim": 1024,
            "vision_cfg": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
            "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24}},
            "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}"#;
        let mut wanted = ClipConfig::vit_h_14();
        wanted.text.eos_token_id = 2;
        assert_eq!(read_config(json).unwrap(), wanted);
    }

    #[test]
    fn other_towers_are_refused_by_name() {
        let refused = |json: &str| read_config(json.as_bytes()).unwrap_err().to_string();
        let timm = r#"{"model_cfg": {"vision_cfg": {"timm_model_name": "vit_so400m"}}}"#;
        assert!(refused(timm).contains("`timm_model_name` is \"vit_so400m\""));
        assert!(refused(r#"{"preprocess_cfg": {"resize_mode": "squash"}}"#).contains("`resize_mode` is \"squash\""));
        assert!(refused(r#"{"model_cfg": {"vision_cfg": {"mlp_ratio": -1}}}"#).contains("`mlp_ratio` is -1"));
    }
}
