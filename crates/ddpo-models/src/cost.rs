//! What a pass through a network costs, counted from its description alone.

use ddpo_nn::{Layout, ParamSpec};

use crate::{Unet, Vae};

/// The cost of a forward pass of one sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiply-adds of convolutions and linear layers, each counted as the direct sum.
    pub layers: u64,
    /// Multiply-adds of the attentions' scores and mixing.
    pub attention: u64,
    /// Values that convolutions and linear layers give out.
    pub outputs: u64,
    /// Those of the one residual block or transformer that gives out most.
    pub largest_part: u64,
    /// Values of the largest image inside the network.
    pub largest_image: u64,
}

impl Cost {
    /// All multiply-adds.
    pub fn multiply_adds(&self) -> u64 {
        self.layers + self.attention
    }
}

/// Where a parameter's layer computes.
struct Place {
    /// Positions of the image.
    pixels: usize,
    /// Positions that the layer is applied at: the image's, or a text's, or one.
    positions: usize,
    /// Keys of the attention whose query projection this is.
    keys: Option<usize>,
}

impl Unet {
    /// The cost of a forward pass for a latent of `[height, width]` under a text of so many tokens, its keys and values included.
    ///
    /// The multiply-adds of Stable Diffusion 1.5 at 64x64 are 339 G in layers (as BK-SDM's, arXiv 2305.15798, from thop) and 63 G in
    /// attentions.
    pub fn cost(&self, latent: [usize; 2], tokens: usize) -> Cost {
        let levels = self.config().blocks.len();
        let place = |name: &str| {
            let pixels = pixels_at(latent, unet_level(name, levels));
            let of_text = name.contains("attn2.to_k") || name.contains("attn2.to_v");
            let of_time = name.contains("time_emb");
            let positions = if of_text {
                tokens
            } else if of_time {
                1
            } else {
                pixels
            };
            let keys = name.ends_with("to_q.weight").then(|| if name.contains("attn2") { tokens } else { pixels });
            Some(Place { pixels, positions, keys })
        };
        count(self.specs(), place)
    }
}

impl Vae {
    /// The cost of decoding a latent of `[height, width]`. Stable Diffusion 1.5's decoder has 1.26 T multiply-adds at 64x64.
    pub fn decoding_cost(&self, latent: [usize; 2]) -> Cost {
        let levels = self.config().block_out_channels.len();
        let place = |name: &str| {
            let layer = match name.strip_prefix("decoder.") {
                Some(layer) => layer,
                None if name.starts_with("post_quant_conv") => name,
                None => return None,
            };
            let scale = 1 << vae_level(layer, levels);
            let pixels = latent[0] * scale * latent[1] * scale;
            Some(Place { pixels, positions: pixels, keys: name.ends_with("to_q.weight").then_some(pixels) })
        };
        count(self.specs(), place)
    }
}

/// Adds up the layers that `place` knows.
fn count(specs: &[ParamSpec], place: impl Fn(&str) -> Option<Place>) -> Cost {
    let (mut cost, mut part, mut of_part) = (Cost::default(), "", 0);
    for spec in specs.iter().filter(|spec| matches!(spec.layout, Layout::Conv | Layout::Linear)) {
        let Some(Place { pixels, positions, keys }) = place(&spec.name) else { continue };
        let channels = spec.shape.first().copied().unwrap_or(0);
        let outputs = (positions * channels) as u64;
        cost.layers += (positions * spec.elements()) as u64;
        cost.attention += keys.map_or(0, |keys| (2 * pixels * keys * channels) as u64);
        cost.outputs += outputs;
        cost.largest_image = cost.largest_image.max(outputs);
        of_part = if part_of(&spec.name) == part { of_part + outputs } else { outputs };
        part = part_of(&spec.name);
        cost.largest_part = cost.largest_part.max(of_part);
    }
    cost
}

/// `down_blocks.0.resnets.1` of a parameter of that block.
fn part_of(name: &str) -> &str {
    let end = |marker: &str| {
        let start = name.find(marker)? + marker.len();
        Some(start + name[start..].find('.')?)
    };
    end("resnets.").or_else(|| end("attentions.")).map_or(name, |end| &name[..end])
}

/// Positions after so many halvings, each of which keeps what is left over.
fn pixels_at([height, width]: [usize; 2], level: usize) -> usize {
    height.div_ceil(1 << level) * width.div_ceil(1 << level)
}

/// How many times the image has been halved where a layer of a UNet computes.
fn unet_level(name: &str, levels: usize) -> usize {
    match (block_index(name, "down_blocks."), block_index(name, "up_blocks.")) {
        (Some(down), _) => down + usize::from(name.contains("downsamplers")),
        (_, Some(up)) => (levels - 1).saturating_sub(up + usize::from(name.contains("upsamplers"))),
        _ if name.starts_with("mid_block") => levels - 1,
        _ => 0,
    }
}

/// How many times the image has been doubled where a layer of a decoder computes.
fn vae_level(name: &str, levels: usize) -> usize {
    match block_index(name, "up_blocks.") {
        Some(up) => up + usize::from(name.contains("upsamplers")),
        None if name.starts_with("conv_out") => levels - 1,
        None => 0,
    }
}

fn block_index(name: &str, prefix: &str) -> Option<usize> {
    name.strip_prefix(prefix)?.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BlockConfig, UnetConfig, VaeConfig};

    /// Stable Diffusion 1.5.
    fn unet() -> Unet {
        let block = |(i, channels): (usize, usize)| BlockConfig {
            channels,
            layers: 2,
            down_attention: i < 3,
            up_attention: i < 3,
            heads: 8,
            transformer_layers: 1,
            only_cross_attention: false,
        };
        let mut config = UnetConfig::small(&[320, 640, 1280, 1280], 8, 4, [64, 64], 768);
        config.blocks = [320, 640, 1280, 1280].into_iter().enumerate().map(block).collect();
        Unet::new(config).unwrap()
    }

    #[test]
    fn stable_diffusions_counts_are_the_published_ones() {
        let unet = unet();
        let parameters: usize = unet.specs().iter().map(ParamSpec::elements).sum();
        assert_eq!(parameters, 859_520_964);
        let cost = unet.cost([64, 64], 77);
        // BK-SDM: 339 G; thop counts layers and not the products of an attention.
        assert_eq!((cost.layers as f64 / 1e9).round(), 339.0);
        assert_eq!((cost.attention as f64 / 1e9).round(), 63.0);
        // MLPerf's count of the decoder with all its other operations is 1273.7 G.
        let mut config = VaeConfig::small(&[128, 256, 512, 512], 4, 512);
        (config.layers_per_block, config.mid_block_add_attention) = (2, true);
        let decoding = Vae::new(config).unwrap().decoding_cost([64, 64]);
        assert!((1255e9..1274e9).contains(&(decoding.multiply_adds() as f64)), "{decoding:?}");
        assert_eq!(decoding.largest_image, 512 * 512 * 256);
    }

    #[test]
    fn four_times_the_pixels_are_four_times_the_layers_and_sixteen_times_the_scores() {
        let unet = Unet::new(UnetConfig::small(&[16, 16], 2, 4, [8, 8], 16)).unwrap();
        let (small, large) = (unet.cost([8, 8], 1), unet.cost([16, 16], 1));
        let fixed = unet.cost([0, 0], 1).layers;
        assert_eq!(large.layers - fixed, 4 * (small.layers - fixed));
        let scores = |size: usize| unet.cost([size; 2], 0).attention;
        assert_eq!(scores(16), 16 * scores(8));
        assert!(small.largest_part < small.outputs && small.largest_image < small.largest_part);
    }
}
