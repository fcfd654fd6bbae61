//! The fields of an autoencoder's `config.json` that this crate computes with.

use ddpo_nn::{Error, Fields, GroupNorm, Result, divides, size};
use serde_json::{Value, json};

const COMPONENT: &str = "vae";

/// The shape of an autoencoder.
#[derive(Clone, Debug, PartialEq)]
pub struct VaeConfig {
    /// Channels of an image that is encoded.
    pub in_channels: usize,
    /// Channels of an image that is decoded.
    pub out_channels: usize,
    /// Channels of every resolution, from the finest down; each but the last halves the size.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks of a resolution in the encoder; one more in the decoder.
    pub layers_per_block: usize,
    /// Channels of a latent.
    pub latent_channels: usize,
    /// Groups of every group norm.
    pub norm_num_groups: usize,
    /// Height and width of the images it was trained on.
    pub sample_size: usize,
    /// What a latent is multiplied with for the UNet.
    pub scaling_factor: f64,
    /// What is subtracted from a latent before it is scaled.
    pub shift_factor: Option<f64>,
    /// Whether a 1x1 convolution follows the encoder.
    pub use_quant_conv: bool,
    /// Whether a 1x1 convolution precedes the decoder.
    pub use_post_quant_conv: bool,
    /// Whether the middle blocks have an attention.
    pub mid_block_add_attention: bool,
    /// Read and written back; all computation is in `f32` anyway.
    pub force_upcast: bool,
}

impl VaeConfig {
    /// A small autoencoder for square RGB images of `size` pixels: one layer a block, no attention, latents not scaled yet.
    pub fn small(channels: &[usize], latent_channels: usize, size: usize) -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            block_out_channels: channels.to_vec(),
            layers_per_block: 1,
            latent_channels,
            norm_num_groups: GroupNorm::common_groups(channels),
            sample_size: size,
            scaling_factor: 1.0,
            shift_factor: None,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: false,
            force_upcast: false,
        }
    }

    /// Reads a diffusers `config.json`.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "vae/config.json", json)?;
        fields.fixed("_class_name", &["AutoencoderKL".into()])?;
        fields.fixed("act_fn", &["silu".into(), "swish".into()])?;
        for unset in ["latents_mean", "latents_std"] {
            fields.fixed(unset, &[])?;
        }
        let config = Self {
            in_channels: fields.take("in_channels", 3)?,
            out_channels: fields.take("out_channels", 3)?,
            block_out_channels: fields.take("block_out_channels", vec![64])?,
            layers_per_block: fields.take("layers_per_block", 1)?,
            latent_channels: fields.take("latent_channels", 4)?,
            norm_num_groups: fields.take("norm_num_groups", 32)?,
            sample_size: fields.take("sample_size", 32)?,
            scaling_factor: fields.take("scaling_factor", 0.18215)?,
            shift_factor: fields.optional("shift_factor")?,
            use_quant_conv: fields.take("use_quant_conv", true)?,
            use_post_quant_conv: fields.take("use_post_quant_conv", true)?,
            mid_block_add_attention: fields.take("mid_block_add_attention", true)?,
            force_upcast: fields.take("force_upcast", true)?,
        };
        let blocks = config.block_out_channels.len();
        for (field, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
            read_kinds(&mut fields, field, kind, blocks)?;
        }
        fields.finish()?;
        config.validate()?;
        Ok(config)
    }

    /// How many pixels a latent's side stands for.
    pub fn downscale(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    ///
    /// The first field that does not fit the others.
    pub fn validate(&self) -> Result<()> {
        let blocks = self.block_out_channels.len();
        if !(1..=16).contains(&blocks) {
            return Err(Error::config(COMPONENT, "block_out_channels", blocks, "1 to 16 blocks"));
        }
        for (field, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
            ("sample_size", self.sample_size),
        ] {
            size(COMPONENT, field, value)?;
        }
        if !(1..=100).contains(&self.layers_per_block) {
            return Err(Error::config(COMPONENT, "layers_per_block", self.layers_per_block, "1 to 100"));
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor > 0.0) {
            return Err(Error::config(COMPONENT, "scaling_factor", self.scaling_factor, "a number above 0"));
        }
        for channels in &self.block_out_channels {
            size(COMPONENT, "block_out_channels", *channels)?;
            divides(COMPONENT, "norm_num_groups", self.norm_num_groups, *channels)?;
        }
        Ok(())
    }

    /// The `config.json` from which [`VaeConfig::from_json`] and diffusers read this shape.
    pub fn to_json(&self) -> Value {
        let blocks = self.block_out_channels.len();
        json!({
            "_class_name": "AutoencoderKL",
            "_diffusers_version": crate::DIFFUSERS_VERSION,
            "act_fn": "silu",
            "block_out_channels": self.block_out_channels,
            "down_block_types": vec!["DownEncoderBlock2D"; blocks],
            "force_upcast": self.force_upcast,
            "in_channels": self.in_channels,
            "latent_channels": self.latent_channels,
            "layers_per_block": self.layers_per_block,
            "mid_block_add_attention": self.mid_block_add_attention,
            "norm_num_groups": self.norm_num_groups,
            "out_channels": self.out_channels,
            "sample_size": self.sample_size,
            "scaling_factor": self.scaling_factor,
            "shift_factor": self.shift_factor,
            "up_block_types": vec!["UpDecoderBlock2D"; blocks],
            "use_post_quant_conv": self.use_post_quant_conv,
            "use_quant_conv": self.use_quant_conv,
        })
    }
}

/// The block types must all be the one that is implemented, one for each resolution.
fn read_kinds(fields: &mut Fields, field: &str, kind: &str, blocks: usize) -> Result<()> {
    let found: Vec<String> = fields.take(field, vec![kind.to_owned(); blocks])?;
    if found.len() == blocks && found.iter().all(|name| name == kind) {
        return Ok(());
    }
    Err(fields.refuse(field, &json!(found), format!("{blocks} times {kind}")))
}
