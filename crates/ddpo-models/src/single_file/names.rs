//! The names that a UNet's and an autoencoder's parameters have in CompVis' and Stability's code (diffusers'
//! `convert_ldm_unet_checkpoint` and `convert_ldm_vae_checkpoint`, the other way round).

use crate::{unet::UnetConfig, vae::VaeConfig};

/// Where the UNet is.
pub(crate) const UNET: &str = "model.diffusion_model.";

/// The layers of a UNet outside of its blocks.
const UNET_ENDS: [(&str, &str); 5] = [
    ("time_embedding.linear_1", "time_embed.0"),
    ("time_embedding.linear_2", "time_embed.2"),
    ("conv_in", "input_blocks.0.0"),
    ("conv_norm_out", "out.0"),
    ("conv_out", "out.2"),
];

/// The layers of a residual block of a UNet.
const UNET_RESNET: [(&str, &str); 6] = [
    ("norm1", "in_layers.0"),
    ("conv1", "in_layers.2"),
    ("time_emb_proj", "emb_layers.1"),
    ("norm2", "out_layers.0"),
    ("conv2", "out_layers.3"),
    ("conv_shortcut", "skip_connection"),
];

/// The layers of an autoencoder's attention.
const VAE_ATTENTION: [(&str, &str); 5] =
    [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")];

/// The name of a UNet's parameter in a one-file checkpoint.
pub(crate) fn unet_name(config: &UnetConfig, name: &str) -> String {
    let found =
        replaced(&UNET_ENDS, name).or_else(|| down(config, name)).or_else(|| middle(name)).or_else(|| up(config, name));
    format!("{UNET}{}", found.unwrap_or_else(|| name.to_owned()))
}

/// The name of an autoencoder's parameter in a one-file checkpoint whose autoencoder is below `prefix`.
pub(crate) fn vae_name(config: &VaeConfig, prefix: &str, name: &str) -> String {
    let found = name.split_once('.').and_then(|(coder, rest)| {
        let inside = coder_name(config.block_out_channels.len(), rest)?;
        Some(format!("{coder}.{inside}"))
    });
    format!("{prefix}{}", found.unwrap_or_else(|| name.to_owned()))
}

/// `down_blocks.{i}.…`: the blocks are numbered through, a downsampler is one more.
fn down(config: &UnetConfig, name: &str) -> Option<String> {
    let (block, rest) = numbered(name, "down_blocks.")?;
    let before: usize = config.blocks.iter().take(block).map(|block| block.layers + 1).sum();
    if let Some(end) = rest.strip_prefix("downsamplers.0.conv.") {
        let layers = config.blocks.get(block)?.layers;
        return Some(format!("input_blocks.{}.0.op.{end}", 1 + before + layers));
    }
    let (layer, inside) = layer(rest)?;
    Some(format!("input_blocks.{}.{inside}", 1 + before + layer))
}

fn middle(name: &str) -> Option<String> {
    let rest = name.strip_prefix("mid_block.")?;
    if let Some((index, rest)) = numbered(rest, "resnets.") {
        return Some(format!("middle_block.{}.{}", 2 * index, resnet(rest)));
    }
    Some(format!("middle_block.1.{}", rest.strip_prefix("attentions.0.")?))
}

/// `up_blocks.{i}.…`, the coarsest first; an upsampler belongs to the last layer of its block.
fn up(config: &UnetConfig, name: &str) -> Option<String> {
    let (block, rest) = numbered(name, "up_blocks.")?;
    let before: usize = config.blocks.iter().rev().take(block).map(|block| block.layers + 1).sum();
    if let Some(end) = rest.strip_prefix("upsamplers.0.conv.") {
        let own = config.blocks.iter().rev().nth(block)?;
        let place = if own.up_attention { 2 } else { 1 };
        return Some(format!("output_blocks.{}.{place}.conv.{end}", before + own.layers));
    }
    let (layer, inside) = layer(rest)?;
    Some(format!("output_blocks.{}.{inside}", before + layer))
}

/// The number of a layer of a block, and what is in it: a residual block or, behind it, a transformer.
fn layer(name: &str) -> Option<(usize, String)> {
    if let Some((index, rest)) = numbered(name, "resnets.") {
        return Some((index, format!("0.{}", resnet(rest))));
    }
    let (index, rest) = numbered(name, "attentions.")?;
    Some((index, format!("1.{rest}")))
}

fn resnet(name: &str) -> String {
    replaced(&UNET_RESNET, name).unwrap_or_else(|| name.to_owned())
}

/// What is inside of an encoder or a decoder.
fn coder_name(blocks: usize, name: &str) -> Option<String> {
    if let Some((block, rest)) = numbered(name, "down_blocks.") {
        return Some(format!("down.{block}.{}", vae_block(rest)?));
    }
    if let Some((block, rest)) = numbered(name, "up_blocks.") {
        // The original counts from the finest, on the way up, too.
        return Some(format!("up.{}.{}", blocks.checked_sub(1 + block)?, vae_block(rest)?));
    }
    if let Some((index, rest)) = numbered(name, "mid_block.resnets.") {
        return Some(format!("mid.block_{}.{}", index + 1, vae_resnet(rest)));
    }
    if let Some(rest) = name.strip_prefix("mid_block.attentions.0.") {
        return Some(format!("mid.attn_1.{}", replaced(&VAE_ATTENTION, rest)?));
    }
    replaced(&[("conv_norm_out", "norm_out")], name)
}

fn vae_block(name: &str) -> Option<String> {
    if let Some((index, rest)) = numbered(name, "resnets.") {
        return Some(format!("block.{index}.{}", vae_resnet(rest)));
    }
    replaced(&[("downsamplers.0.conv", "downsample.conv"), ("upsamplers.0.conv", "upsample.conv")], name)
}

fn vae_resnet(name: &str) -> String {
    replaced(&[("conv_shortcut", "nin_shortcut")], name).unwrap_or_else(|| name.to_owned())
}

/// The number behind `prefix`, and what follows it.
fn numbered<'a>(name: &'a str, prefix: &str) -> Option<(usize, &'a str)> {
    let (number, rest) = name.strip_prefix(prefix)?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

/// `name` with the layer it begins with replaced, if it is one of `layers`.
fn replaced(layers: &[(&str, &str)], name: &str) -> Option<String> {
    layers.iter().find_map(|(ours, theirs)| {
        let end = name.strip_prefix(ours)?;
        end.starts_with('.').then(|| format!("{theirs}{end}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stable Diffusion 1's: two layers a block, four blocks; names from its own file.
    #[test]
    fn the_names_are_those_of_stable_diffusions_own_file() {
        let unet = UnetConfig::from_json(b"{}").unwrap();
        for (ours, theirs) in [
            ("conv_in.weight", "input_blocks.0.0.weight"),
            ("down_blocks.0.resnets.0.norm1.bias", "input_blocks.1.0.in_layers.0.bias"),
            ("down_blocks.0.attentions.1.proj_in.weight", "input_blocks.2.1.proj_in.weight"),
            ("down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
            ("down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
            ("down_blocks.3.resnets.1.time_emb_proj.weight", "input_blocks.11.0.emb_layers.1.weight"),
            ("mid_block.resnets.1.conv2.weight", "middle_block.2.out_layers.3.weight"),
            ("mid_block.attentions.0.norm.weight", "middle_block.1.norm.weight"),
            ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
            ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
            (
                "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.bias",
                "output_blocks.11.1.transformer_blocks.0.ff.net.0.proj.bias",
            ),
            ("conv_norm_out.weight", "out.0.weight"),
        ] {
            assert_eq!(unet_name(&unet, ours), format!("model.diffusion_model.{theirs}"));
        }
    }

    #[test]
    fn the_names_of_an_autoencoder_are_those_of_its_own_file() {
        let vae = VaeConfig::small(&[32, 64, 64, 64], 4, 64);
        for (ours, theirs) in [
            ("encoder.down_blocks.1.resnets.0.conv_shortcut.weight", "encoder.down.1.block.0.nin_shortcut.weight"),
            ("encoder.down_blocks.0.downsamplers.0.conv.weight", "encoder.down.0.downsample.conv.weight"),
            ("decoder.up_blocks.0.resnets.2.norm1.weight", "decoder.up.3.block.2.norm1.weight"),
            ("decoder.up_blocks.2.upsamplers.0.conv.bias", "decoder.up.1.upsample.conv.bias"),
            ("encoder.mid_block.attentions.0.to_out.0.weight", "encoder.mid.attn_1.proj_out.weight"),
            ("encoder.mid_block.resnets.1.conv1.weight", "encoder.mid.block_2.conv1.weight"),
            ("decoder.conv_norm_out.bias", "decoder.norm_out.bias"),
            ("post_quant_conv.weight", "post_quant_conv.weight"),
        ] {
            assert_eq!(vae_name(&vae, "first_stage_model.", ours), format!("first_stage_model.{theirs}"));
        }
    }
}
