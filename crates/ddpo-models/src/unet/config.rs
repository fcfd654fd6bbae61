//! The fields of a UNet's `config.json` that this crate computes with.

use ddpo_nn::{Error, Fields, GroupNorm, Result, divides, size};
use serde_json::{Value, json};

const COMPONENT: &str = "unet";

/// The shape of a UNet.
#[derive(Clone, Debug, PartialEq)]
pub struct UnetConfig {
    /// Height and width of the latents it was trained on.
    pub sample_size: [usize; 2],
    /// Channels of a latent.
    pub in_channels: usize,
    /// Channels of a prediction.
    pub out_channels: usize,
    /// Whether the input is mapped from `[0, 1]` to `[-1, 1]` first.
    pub center_input_sample: bool,
    /// Whether the cosines of a time embedding come first.
    pub flip_sin_to_cos: bool,
    /// Shift in the denominator of the time embedding's frequencies.
    pub freq_shift: f64,
    /// The resolutions, from the finest down.
    pub blocks: Vec<BlockConfig>,
    /// Whether there is a block in the middle.
    pub mid_block: bool,
    /// What the residual sums of the middle block are divided by.
    pub mid_block_scale_factor: f64,
    /// Padding of the convolutions of stride 2; 0 stands for one row below and one column to the right.
    pub downsample_padding: usize,
    /// Groups of every group norm.
    pub norm_num_groups: usize,
    /// Epsilon of the group norms outside transformers.
    pub norm_eps: f64,
    /// Width of the text states.
    pub cross_attention_dim: usize,
    /// Whether the files keep the transformers' projections as linear layers (SD 2.x).
    pub use_linear_projection: bool,
    /// Width of the time embedding; four times the first block's channels if not given.
    pub time_embedding_dim: Option<usize>,
    /// Kernel size of the first convolution.
    pub conv_in_kernel: usize,
    /// Kernel size of the last convolution.
    pub conv_out_kernel: usize,
    /// Read and written back; all computation is in `f32` anyway.
    pub upcast_attention: bool,
}

/// One resolution of a UNet, on its way down and up.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockConfig {
    /// Channels.
    pub channels: usize,
    /// Residual blocks on the way down; one more on the way up.
    pub layers: usize,
    /// Whether the way down has transformers.
    pub down_attention: bool,
    /// Whether the way up, at the same resolution, has transformers.
    pub up_attention: bool,
    /// Heads of an attention (diffusers' misnamed `attention_head_dim`).
    pub heads: usize,
    /// Transformer blocks in each transformer.
    pub transformer_layers: usize,
    /// Whether the first attention of a transformer block looks at the text as well.
    pub only_cross_attention: bool,
}

impl UnetConfig {
    /// A small network with attention at every resolution and one layer a block, for latents of `[height, width]` and
    /// text states of `context` channels.
    pub fn small(channels: &[usize], heads: usize, latent_channels: usize, size: [usize; 2], context: usize) -> Self {
        let block = |channels: &usize| BlockConfig {
            channels: *channels,
            layers: 1,
            down_attention: true,
            up_attention: true,
            heads,
            transformer_layers: 1,
            only_cross_attention: false,
        };
        Self {
            sample_size: size,
            in_channels: latent_channels,
            out_channels: latent_channels,
            center_input_sample: false,
            flip_sin_to_cos: true,
            freq_shift: 0.0,
            blocks: channels.iter().map(block).collect(),
            mid_block: true,
            mid_block_scale_factor: 1.0,
            downsample_padding: 1,
            norm_num_groups: GroupNorm::common_groups(channels),
            norm_eps: 1e-5,
            cross_attention_dim: context,
            use_linear_projection: false,
            time_embedding_dim: None,
            conv_in_kernel: 3,
            conv_out_kernel: 3,
            upcast_attention: false,
        }
    }

    /// Reads a diffusers `config.json`.
    ///
    /// # Errors
    ///
    /// A field that cannot be parsed, that contradicts another, or whose value is not implemented, by name.
    pub fn from_json(json: &[u8]) -> Result<Self> {
        let mut fields = Fields::parse(COMPONENT, "unet/config.json", json)?;
        fields.fixed("_class_name", &["UNet2DConditionModel".into()])?;
        refuse_unsupported(&mut fields)?;
        fields.ignore(&OF_AVERAGING);
        let version = fields.optional::<String>("_diffusers_version")?;
        let version = version.filter(|_| !fields.is_list("sample_size"));
        let blocks = read_blocks(&mut fields)?;
        let config = Self {
            sample_size: correct_old_size(read_sample_size(&mut fields)?, version),
            in_channels: fields.take("in_channels", 4)?,
            out_channels: fields.take("out_channels", 4)?,
            center_input_sample: fields.take("center_input_sample", false)?,
            flip_sin_to_cos: fields.take("flip_sin_to_cos", true)?,
            freq_shift: fields.take("freq_shift", 0.0)?,
            mid_block: read_mid_block(&mut fields)?,
            mid_block_scale_factor: fields.take("mid_block_scale_factor", 1.0)?,
            downsample_padding: fields.take("downsample_padding", 1)?,
            norm_num_groups: read_groups(&mut fields)?,
            norm_eps: fields.take("norm_eps", 1e-5)?,
            cross_attention_dim: read_context(&mut fields, blocks.len())?,
            use_linear_projection: fields.take("use_linear_projection", false)?,
            time_embedding_dim: fields.optional("time_embedding_dim")?,
            conv_in_kernel: fields.take("conv_in_kernel", 3)?,
            conv_out_kernel: fields.take("conv_out_kernel", 3)?,
            upcast_attention: fields.take("upcast_attention", false)?,
            blocks,
        };
        fields.finish()?;
        config.validate()?;
        Ok(config)
    }

    /// Width of the time embedding.
    pub(crate) fn time_width(&self) -> usize {
        self.time_embedding_dim.unwrap_or_else(|| 4 * self.blocks.first().map_or(0, |block| block.channels))
    }

    /// Refuses sizes that no network can have.
    ///
    /// # Errors
    ///
    /// The first field that does not fit the others.
    pub fn validate(&self) -> Result<()> {
        if !(1..=16).contains(&self.blocks.len()) {
            return Err(Error::config(COMPONENT, "block_out_channels", self.blocks.len(), "1 to 16 blocks"));
        }
        for (field, value) in [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("cross_attention_dim", self.cross_attention_dim),
            ("time_embedding_dim", self.time_width()),
            ("sample_size", self.sample_size[0]),
            ("sample_size", self.sample_size[1]),
        ] {
            size(COMPONENT, field, value)?;
        }
        for (field, kernel) in [("conv_in_kernel", self.conv_in_kernel), ("conv_out_kernel", self.conv_out_kernel)] {
            if kernel % 2 == 0 || kernel > 15 {
                return Err(Error::config(COMPONENT, field, kernel, "an odd number up to 15"));
            }
        }
        if self.downsample_padding > 1 {
            return Err(Error::config(COMPONENT, "downsample_padding", self.downsample_padding, "0 or 1"));
        }
        self.blocks.iter().try_for_each(|block| block.validate(self.norm_num_groups))?;
        // No network comes near it; what is described is in memory before any weight shows that it does not exist.
        const DEEPEST: usize = 2000;
        let depth: usize = self.blocks.iter().map(|block| (2 * block.layers + 1) * block.transformer_layers).sum();
        if depth > DEEPEST {
            let wanted = format!("at most {DEEPEST} times transformer_layers_per_block, up and down");
            return Err(Error::config(COMPONENT, "layers_per_block", depth, wanted));
        }
        Ok(())
    }

    /// The `config.json` from which [`UnetConfig::from_json`] and diffusers read this shape.
    pub fn to_json(&self) -> Value {
        let blocks = &self.blocks;
        let down: Vec<_> =
            blocks.iter().map(|b| if b.down_attention { "CrossAttnDownBlock2D" } else { "DownBlock2D" }).collect();
        let up: Vec<_> =
            blocks.iter().rev().map(|b| if b.up_attention { "CrossAttnUpBlock2D" } else { "UpBlock2D" }).collect();
        let per_block = |value: fn(&BlockConfig) -> Value| blocks.iter().map(value).collect::<Vec<_>>();
        let [height, width] = self.sample_size;
        json!({
            "_class_name": "UNet2DConditionModel",
            "_diffusers_version": crate::DIFFUSERS_VERSION,
            "act_fn": "silu",
            "attention_head_dim": per_block(|b| b.heads.into()),
            "block_out_channels": per_block(|b| b.channels.into()),
            "center_input_sample": self.center_input_sample,
            "conv_in_kernel": self.conv_in_kernel,
            "conv_out_kernel": self.conv_out_kernel,
            "cross_attention_dim": self.cross_attention_dim,
            "down_block_types": down,
            "downsample_padding": self.downsample_padding,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": self.freq_shift,
            "in_channels": self.in_channels,
            "layers_per_block": per_block(|b| b.layers.into()),
            "mid_block_scale_factor": self.mid_block_scale_factor,
            "mid_block_type": self.mid_block.then_some("UNetMidBlock2DCrossAttn"),
            "norm_eps": self.norm_eps,
            "norm_num_groups": self.norm_num_groups,
            "only_cross_attention": per_block(|b| b.only_cross_attention.into()),
            "out_channels": self.out_channels,
            "sample_size": if height == width { json!(height) } else { json!([height, width]) },
            "time_embedding_dim": self.time_embedding_dim,
            "transformer_layers_per_block": per_block(|b| b.transformer_layers.into()),
            "up_block_types": up,
            "upcast_attention": self.upcast_attention,
            "use_linear_projection": self.use_linear_projection,
        })
    }
}

impl BlockConfig {
    fn validate(&self, groups: usize) -> Result<()> {
        size(COMPONENT, "block_out_channels", self.channels)?;
        divides(COMPONENT, "norm_num_groups", groups, self.channels)?;
        divides(COMPONENT, "attention_head_dim", self.heads, self.channels)?;
        for (field, value) in
            [("layers_per_block", self.layers), ("transformer_layers_per_block", self.transformer_layers)]
        {
            if !(1..=100).contains(&value) {
                return Err(Error::config(COMPONENT, field, value, "1 to 100"));
            }
        }
        Ok(())
    }
}

fn read_blocks(fields: &mut Fields) -> Result<Vec<BlockConfig>> {
    let channels: Vec<usize> = fields.take("block_out_channels", vec![320, 640, 1280, 1280])?;
    let count = channels.len();
    let down = read_kinds(fields, "down_block_types", "CrossAttnDownBlock2D", "DownBlock2D", count)?;
    let mut up = read_kinds(fields, "up_block_types", "CrossAttnUpBlock2D", "UpBlock2D", count)?;
    up.reverse();
    let layers = fields.per_block("layers_per_block", 2, count)?;
    let heads = fields.per_block("attention_head_dim", 8, count)?;
    let transformer_layers = fields.per_block("transformer_layers_per_block", 1, count)?;
    let only_cross = fields.per_block("only_cross_attention", false, count)?;
    let block = |i: usize| BlockConfig {
        channels: channels[i],
        layers: layers[i],
        down_attention: down[i],
        up_attention: up[i],
        heads: heads[i],
        transformer_layers: transformer_layers[i],
        only_cross_attention: only_cross[i],
    };
    Ok((0..count).map(block).collect())
}

/// For each block, whether it is the kind with attention.
fn read_kinds(fields: &mut Fields, field: &str, with: &str, without: &str, count: usize) -> Result<Vec<bool>> {
    let default = || {
        let mut kinds = vec![with.to_owned(); count];
        let plain = if field == "up_block_types" { kinds.first_mut() } else { kinds.last_mut() };
        plain.into_iter().for_each(|kind| without.clone_into(kind));
        kinds
    };
    let kinds = fields.optional(field)?.unwrap_or_else(default);
    if kinds.len() != count {
        return Err(fields.refuse(
            field,
            &json!(kinds),
            format!("a list of {count}, one for each of block_out_channels"),
        ));
    }
    let unknown = kinds.iter().find(|kind| *kind != with && *kind != without);
    match unknown {
        Some(kind) => Err(fields.refuse(field, &json!(kind), format!("{with} or {without}"))),
        None => Ok(kinds.iter().map(|kind| kind == with).collect()),
    }
}

fn read_sample_size(fields: &mut Fields) -> Result<[usize; 2]> {
    match fields.optional::<Value>("sample_size")? {
        None => Ok([64, 64]),
        Some(Value::Array(pair)) => match pair.iter().map(as_size).collect::<Option<Vec<_>>>().as_deref() {
            Some([height, width]) => Ok([*height, *width]),
            _ => Err(fields.refuse("sample_size", &Value::Array(pair), "a size or a pair of them")),
        },
        Some(value) => match as_size(&value) {
            Some(size) => Ok([size; 2]),
            None => Err(fields.refuse("sample_size", &value, "a size or a pair of them")),
        },
    }
}

/// The size for a file of before diffusers 0.9, in which a number below 64 was a default that said nothing of the model:
/// diffusers' pipelines take 64 in its place.
fn correct_old_size(size: [usize; 2], version: Option<String>) -> [usize; 2] {
    let is_old = version.as_deref().and_then(minor_release).is_some_and(|minor| minor < 9);
    if is_old && size[0] < 64 { [64; 2] } else { size }
}

/// The number after `0.` of a version before 1.
fn minor_release(version: &str) -> Option<u32> {
    version.strip_prefix("0.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn as_size(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|value| usize::try_from(value).ok())
}

fn read_mid_block(fields: &mut Fields) -> Result<bool> {
    let none = fields.is_null("mid_block_type");
    fields.fixed("mid_block_type", &["UNetMidBlock2DCrossAttn".into()])?;
    Ok(!none)
}

fn read_groups(fields: &mut Fields) -> Result<usize> {
    if fields.is_null("norm_num_groups") {
        return Err(fields.refuse("norm_num_groups", &Value::Null, "a number of groups"));
    }
    fields.take("norm_num_groups", 32)
}

fn read_context(fields: &mut Fields, blocks: usize) -> Result<usize> {
    let widths = fields.per_block("cross_attention_dim", 1280, blocks)?;
    match widths.as_slice() {
        [first, rest @ ..] if rest.iter().all(|width| width == first) => Ok(*first),
        _ => Err(fields.refuse("cross_attention_dim", &json!(widths), "the same width in every block")),
    }
}

/// What diffusers' `EMAModel` adds to the file of averaged weights: how they were averaged.
const OF_AVERAGING: [&str; 9] = [
    "collected_params",
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
    "cur_decay_value",
];

/// Takes the fields of other UNet variants, which are accepted at their defaults only.
fn refuse_unsupported(fields: &mut Fields) -> Result<()> {
    fields.fixed("act_fn", &["silu".into(), "swish".into()])?;
    fields.fixed("dropout", &[0.0.into()])?;
    fields.fixed("resnet_time_scale_shift", &["default".into()])?;
    fields.fixed("resnet_out_scale_factor", &[1.0.into()])?;
    fields.fixed("time_embedding_type", &["positional".into()])?;
    fields.fixed("attention_type", &["default".into()])?;
    for flag in
        ["dual_cross_attention", "resnet_skip_time_act", "class_embeddings_concat", "mid_block_only_cross_attention"]
    {
        fields.fixed(flag, &[false.into()])?;
    }
    // Only `addition_embed_type` gives this one a meaning, and that is refused below.
    fields.ignore(&["addition_embed_type_num_heads"]);
    for unset in [
        "num_attention_heads",
        "reverse_transformer_layers_per_block",
        "encoder_hid_dim",
        "encoder_hid_dim_type",
        "class_embed_type",
        "addition_embed_type",
        "addition_time_embed_dim",
        "num_class_embeds",
        "time_embedding_act_fn",
        "timestep_post_act",
        "time_cond_proj_dim",
        "projection_class_embeddings_input_dim",
        "cross_attention_norm",
    ] {
        fields.fixed(unset, &[])?;
    }
    Ok(())
}
