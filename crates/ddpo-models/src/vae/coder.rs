//! Encoder and decoder.

use burn::tensor::Tensor;
use ddpo_kernels::Activation;
use ddpo_nn::{Conv, GroupNorm, ParamScope, Resnet, ResnetShape, SelfAttention2d, Weights, downsample};

use super::config::VaeConfig;

/// Diffusers fixes the epsilon of an autoencoder's norms.
const EPSILON: f64 = 1e-6;

/// From an image to the parameters of a distribution over latents.
#[derive(Clone, Debug)]
pub(super) struct Encoder {
    conv_in: Conv,
    blocks: Vec<Block>,
    mid: MidBlock,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// From a latent to an image.
#[derive(Clone, Debug)]
pub(super) struct Decoder {
    conv_in: Conv,
    mid: MidBlock,
    blocks: Vec<Block>,
    norm_out: GroupNorm,
    conv_out: Conv,
}

/// One resolution; `resample` leads to the next.
#[derive(Clone, Debug)]
struct Block {
    resnets: Vec<Resnet>,
    resample: Option<Conv>,
}

#[derive(Clone, Debug)]
struct MidBlock {
    first: Resnet,
    attention: Option<SelfAttention2d>,
    last: Resnet,
}

impl Encoder {
    pub(super) fn new(scope: &mut ParamScope<'_>, config: &VaeConfig) -> Self {
        let channels = &config.block_out_channels;
        let (first, last) = ends(channels);
        let block = |(i, scope): (usize, &mut ParamScope<'_>)| {
            let mut blocks = scope.child("down_blocks");
            let scope = &mut blocks.child(i);
            let inputs = channels[i.saturating_sub(1)];
            let resnets = resnets(scope, config, inputs, channels[i], config.layers_per_block);
            let more = i + 1 < channels.len();
            let resample = more.then(|| downsample(&mut scope.child("downsamplers").child(0), channels[i], 0));
            Block { resnets, resample }
        };
        Self {
            conv_in: Conv::same(&mut scope.child("conv_in"), config.in_channels, first, 3),
            blocks: (0..channels.len()).map(|i| block((i, scope))).collect(),
            mid: MidBlock::new(&mut scope.child("mid_block"), config, last),
            norm_out: GroupNorm::new(&mut scope.child("conv_norm_out"), last, config.norm_num_groups, EPSILON),
            conv_out: Conv::same(&mut scope.child("conv_out"), last, 2 * config.latent_channels, 3),
        }
    }

    /// # Shapes
    ///
    /// `[B, H, W, in_channels] -> [B, H / f, W / f, 2 latent_channels]`
    pub(super) fn forward(&self, weights: &Weights, images: Tensor<4>) -> Tensor<4> {
        let mut x = self.conv_in.forward(weights, images);
        for block in &self.blocks {
            x = block.residuals(weights, x);
            if let Some(resample) = &block.resample {
                x = resample.forward(weights, x);
            }
        }
        let x = self.mid.forward(weights, x);
        let x = self.norm_out.forward(weights, x, Activation::Silu);
        self.conv_out.forward(weights, x)
    }
}

impl Decoder {
    pub(super) fn new(scope: &mut ParamScope<'_>, config: &VaeConfig) -> Self {
        let channels: Vec<usize> = config.block_out_channels.iter().rev().copied().collect();
        let (first, last) = ends(&channels);
        let conv_in = Conv::same(&mut scope.child("conv_in"), config.latent_channels, first, 3);
        let mid = MidBlock::new(&mut scope.child("mid_block"), config, first);
        let block = |(i, scope): (usize, &mut ParamScope<'_>)| {
            let mut blocks = scope.child("up_blocks");
            let scope = &mut blocks.child(i);
            let inputs = channels[i.saturating_sub(1)];
            let resnets = resnets(scope, config, inputs, channels[i], config.layers_per_block + 1);
            let more = i + 1 < channels.len();
            let resample = more.then(|| {
                Conv::same(&mut scope.child("upsamplers").child(0).child("conv"), channels[i], channels[i], 3)
            });
            Block { resnets, resample }
        };
        let blocks = (0..channels.len()).map(|i| block((i, scope))).collect();
        let norm_out = GroupNorm::new(&mut scope.child("conv_norm_out"), last, config.norm_num_groups, EPSILON);
        let conv_out = Conv::same(&mut scope.child("conv_out"), last, config.out_channels, 3);
        Self { conv_in, mid, blocks, norm_out, conv_out }
    }

    /// # Shapes
    ///
    /// `[B, h, w, latent_channels] -> [B, f h, f w, out_channels]`
    pub(super) fn forward(&self, weights: &Weights, latents: Tensor<4>) -> Tensor<4> {
        let x = self.conv_in.forward(weights, latents);
        let mut x = self.mid.forward(weights, x);
        for block in &self.blocks {
            x = block.residuals(weights, x);
            if let Some(resample) = &block.resample {
                x = resample.forward(weights, ddpo_kernels::upsample_nearest_2x(x));
            }
        }
        let x = self.norm_out.forward(weights, x, Activation::Silu);
        self.conv_out.forward(weights, x)
    }
}

impl Block {
    fn residuals(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        self.resnets.iter().fold(x, |x, resnet| resnet.forward(weights, x, None))
    }
}

impl MidBlock {
    fn new(scope: &mut ParamScope<'_>, config: &VaeConfig, channels: usize) -> Self {
        let resnet = resnet_shape(config, channels, channels);
        let attention = |scope: &mut ParamScope<'_>| {
            SelfAttention2d::new(&mut scope.child("attentions").child(0), channels, config.norm_num_groups, EPSILON)
        };
        Self {
            first: Resnet::new(&mut scope.child("resnets").child(0), resnet),
            attention: config.mid_block_add_attention.then(|| attention(scope)),
            last: Resnet::new(&mut scope.child("resnets").child(1), resnet),
        }
    }

    fn forward(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        let mut x = self.first.forward(weights, x, None);
        if let Some(attention) = &self.attention {
            x = attention.forward(weights, x);
        }
        self.last.forward(weights, x, None)
    }
}

fn resnets(scope: &mut ParamScope<'_>, config: &VaeConfig, inputs: usize, outputs: usize, count: usize) -> Vec<Resnet> {
    let mut resnet = |i: usize| {
        let inputs = if i == 0 { inputs } else { outputs };
        Resnet::new(&mut scope.child("resnets").child(i), resnet_shape(config, inputs, outputs))
    };
    (0..count).map(&mut resnet).collect()
}

fn resnet_shape(config: &VaeConfig, inputs: usize, outputs: usize) -> ResnetShape {
    ResnetShape { inputs, outputs, time: None, groups: config.norm_num_groups, epsilon: EPSILON, output_scale: 1.0 }
}

/// The first and last channel count; a validated configuration has at least one.
fn ends(channels: &[usize]) -> (usize, usize) {
    (channels.first().copied().unwrap_or(0), channels.last().copied().unwrap_or(0))
}
