//! The sizes of a vision transformer.

use crate::{
    error::{Error, Result},
    fields::{Fields, divides, size},
    layers::{ClipActivation, ClipLayerShape},
    text::{read_activation, read_settings},
};

const COMPONENT: &str = "vision_model";

/// The shape of a vision transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct VisionConfig {
    /// Width of the hidden states.
    pub hidden_size: usize,
    /// Width inside a feed-forward layer.
    pub intermediate_size: usize,
    /// Transformer layers.
    pub num_hidden_layers: usize,
    /// Heads of an attention.
    pub num_attention_heads: usize,
    /// Height and width of the picture in pixels.
    pub image_size: usize,
    /// Height and width of a patch, which divides the picture's.
    pub patch_size: usize,
    /// The feed-forward activation.
    pub hidden_act: ClipActivation,
    /// Epsilon of the layer norms.
    pub layer_norm_eps: f64,
    /// Whether a norm is between the embeddings and the first layer, as in CLIP.
    pub pre_norm: bool,
    /// Whether the patches' projection has a bias, as in BLIP.
    pub patch_bias: bool,
}

impl VisionConfig {
    /// Takes the fields of a transformers `CLIPVisionConfig`.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub(crate) fn from_fields(mut fields: Fields) -> Result<Self> {
        read_settings(&mut fields)?;
        fields.fixed("model_type", &["clip_vision_model".into()])?;
        fields.fixed("num_channels", &[3.into()])?;
        fields.ignore(&["architectures", "projection_dim", "bos_token_id", "eos_token_id", "pad_token_id"]);
        let config = Self {
            hidden_size: fields.take("hidden_size", 768)?,
            intermediate_size: fields.take("intermediate_size", 3072)?,
            num_hidden_layers: fields.take("num_hidden_layers", 12)?,
            num_attention_heads: fields.take("num_attention_heads", 12)?,
            image_size: fields.take("image_size", 224)?,
            patch_size: fields.take("patch_size", 32)?,
            hidden_act: read_activation(&mut fields)?,
            layer_norm_eps: fields.take("layer_norm_eps", 1e-5)?,
            pre_norm: true,
            patch_bias: false,
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
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("image_size", self.image_size),
        ] {
            size(COMPONENT, field, value)?;
        }
        divides(COMPONENT, "num_attention_heads", self.num_attention_heads, self.hidden_size)?;
        if self.patch_size == 0 || self.patch_size > self.image_size || self.image_size > 1 << 13 {
            let wanted = format!("1 to {} (image_size, at most 8192)", self.image_size);
            return Err(Error::config(COMPONENT, "patch_size", self.patch_size, wanted));
        }
        if self.num_hidden_layers > 200 {
            return Err(Error::config(COMPONENT, "num_hidden_layers", self.num_hidden_layers, "0 to 200"));
        }
        Ok(())
    }

    /// Patches of a side; what is left of a picture that they do not divide is not seen.
    pub(super) fn grid(&self) -> usize {
        self.image_size / self.patch_size
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
}
