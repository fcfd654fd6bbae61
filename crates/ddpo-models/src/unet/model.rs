//! The UNet as a function of its weights.

use burn::tensor::{DType, Device, Tensor};
use ddpo_kernels::Activation;
use ddpo_nn::{
    Context, Conv, Error, GroupNorm, KeysValues, Linear, ParamScope, Result, Specs, Transformer, Weights, vector,
};

use super::{
    blocks::{DownBlock, MidBlock, UpBlock},
    config::UnetConfig,
};

/// A UNet without weights: the layers and what they need.
#[derive(Clone, Debug)]
pub struct Unet {
    config: UnetConfig,
    specs: Specs,
    conv_in: Conv,
    time: [Linear; 2],
    pub(super) down: Vec<DownBlock>,
    pub(super) mid: Option<MidBlock>,
    pub(super) up: Vec<UpBlock>,
    pub(super) norm_out: GroupNorm,
    conv_out: Conv,
}

/// The keys and values that a UNet's attentions take from a text, computed once for all steps of a trajectory.
#[derive(Clone, Debug)]
pub struct TextContext {
    keys_values: Vec<KeysValues>,
    batch: usize,
}

impl Unet {
    /// Describes the UNet of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: UnetConfig) -> Result<Self> {
        config.validate()?;
        let mut specs = Vec::new();
        let mut root = ParamScope::root(&mut specs);
        let scope = &mut root;
        let channels: Vec<usize> = config.blocks.iter().map(|block| block.channels).collect();
        let (first, count) = (channels[0], channels.len());
        let width = config.time_width();
        let conv_in = Conv::same(&mut scope.child("conv_in"), config.in_channels, first, config.conv_in_kernel);
        let time = {
            let scope = &mut scope.child("time_embedding");
            [
                Linear::new(&mut scope.child("linear_1"), first, width),
                Linear::new(&mut scope.child("linear_2"), width, width),
            ]
        };
        let down = (0..count)
            .map(|i| {
                DownBlock::new(&mut scope.child("down_blocks").child(i), &config, i, channels[i.saturating_sub(1)])
            })
            .collect();
        let mid = match config.blocks.last() {
            Some(block) if config.mid_block => Some(MidBlock::new(&mut scope.child("mid_block"), &config, block)),
            _ => None,
        };
        let up = (0..count)
            .rev()
            .map(|i| {
                let inputs = channels[(i + 1).min(count - 1)];
                UpBlock::new(&mut scope.child("up_blocks").child(count - 1 - i), &config, i, inputs)
            })
            .collect();
        let norm_out =
            GroupNorm::new(&mut scope.child("conv_norm_out"), first, config.norm_num_groups, config.norm_eps);
        let conv_out = Conv::same(&mut scope.child("conv_out"), first, config.out_channels, config.conv_out_kernel);
        Ok(Self { config, specs: specs.into(), conv_in, time, down, mid, up, norm_out, conv_out })
    }

    /// The shape of the network.
    pub fn config(&self) -> &UnetConfig {
        &self.config
    }

    /// The parameters of the network.
    pub fn specs(&self) -> &Specs {
        &self.specs
    }

    /// What the network predicts for noisy latents at the given times under the given texts.
    ///
    /// # Shapes
    ///
    /// - `sample`: `[B, H, W, in_channels]`, `timesteps`: `B` times in training steps, `states`: `[B, S, cross_attention_dim]`
    /// - result: `[B, H, W, out_channels]`
    ///
    /// # Errors
    ///
    /// If a shape does not fit, or the weights are of another model.
    pub fn forward(
        &self,
        weights: &Weights,
        sample: Tensor<4>,
        timesteps: &[f64],
        states: Tensor<3>,
    ) -> Result<Tensor<4>> {
        let context = self.text_context(weights, &states)?;
        self.forward_with(weights, sample, timesteps, &context)
    }

    /// The keys and values of every attention to the text.
    ///
    /// # Errors
    ///
    /// If the states' width is not the network's, or the weights are of another model.
    pub fn text_context(&self, weights: &Weights, states: &Tensor<3>) -> Result<TextContext> {
        self.check_weights(weights)?;
        self.check_states(states)?;
        let (mut keys_values, text) = (Vec::new(), Context::new(states));
        for transformer in self.transformers() {
            transformer.context(weights, &text, &mut keys_values);
        }
        Ok(TextContext { keys_values, batch: states.dims()[0] })
    }

    /// [`Unet::forward`] with the text's keys and values already computed, by the same weights.
    ///
    /// # Errors
    ///
    /// If a shape does not fit, or the weights are of another model.
    pub fn forward_with(
        &self,
        weights: &Weights,
        sample: Tensor<4>,
        timesteps: &[f64],
        context: &TextContext,
    ) -> Result<Tensor<4>> {
        self.check_weights(weights)?;
        self.check_sample(&sample, timesteps, context.batch)?;
        let time = self.embed_times(weights, timesteps, &sample.device());
        let mut context = context.keys_values.iter();
        let mut x = self.enter(weights, sample);
        let mut skips = vec![x.clone()];
        for block in &self.down {
            x = block.forward(weights, x, &time, &mut context, &mut skips);
        }
        if let Some(block) = &self.mid {
            x = block.forward(weights, x, &time, &mut context);
        }
        for block in &self.up {
            x = block.forward(weights, x, &time, &mut context, &mut skips);
        }
        let x = self.norm_out.forward(weights, x, Activation::Silu);
        Ok(self.leave(weights, x))
    }

    /// The last convolution. What the network predicts is in `f32`, whatever it computes in.
    pub(super) fn leave(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        ddpo_kernels::cast(self.conv_out.forward(weights, x), DType::F32)
    }

    /// The first convolution.
    pub(crate) fn enter(&self, weights: &Weights, sample: Tensor<4>) -> Tensor<4> {
        let sample = if self.config.center_input_sample { sample.mul_scalar(2.0).sub_scalar(1.0) } else { sample };
        self.conv_in.forward(weights, sample)
    }

    /// All transformers in the order in which a forward pass meets them.
    fn transformers(&self) -> impl Iterator<Item = &Transformer> {
        let down = self.down.iter().flat_map(DownBlock::transformers);
        let mid = self.mid.iter().map(MidBlock::transformer);
        down.chain(mid).chain(self.up.iter().flat_map(UpBlock::transformers))
    }

    /// The embedding of every time, after the activation with which all residual blocks start on it.
    pub(crate) fn embed_times(&self, weights: &Weights, timesteps: &[f64], device: &Device) -> Tensor<2> {
        let width = self.config.blocks.first().map_or(0, |block| block.channels);
        let waves = timesteps.iter().flat_map(|time| sinusoids(*time, width, &self.config)).collect();
        let waves = vector(waves, &device.clone().inner()).reshape([timesteps.len(), width]);
        let hidden = ddpo_kernels::silu(self.time[0].forward(weights, waves));
        ddpo_kernels::silu(self.time[1].forward(weights, hidden))
    }

    pub(super) fn check_weights(&self, weights: &Weights) -> Result<()> {
        if weights.fits(&self.specs) {
            return Ok(());
        }
        Err(Error::input(
            "run the unet",
            "number of parameters",
            weights.specs().len(),
            format!("the unet's own {}", self.specs.len()),
        ))
    }

    pub(super) fn check_states(&self, states: &Tensor<3>) -> Result<()> {
        let ([_, _, found], wanted) = (states.dims(), self.config.cross_attention_dim);
        if found == wanted {
            return Ok(());
        }
        Err(Error::input("run the unet", "width of the text states", found, wanted))
    }

    pub(super) fn check_sample(&self, sample: &Tensor<4>, timesteps: &[f64], texts: usize) -> Result<()> {
        let refuse = |what: &str, found: usize, wanted: String| Err(Error::input("run the unet", what, found, wanted));
        let [batch, height, width, channels] = sample.dims();
        if channels != self.config.in_channels {
            return refuse("number of channels", channels, self.config.in_channels.to_string());
        }
        for (what, found) in [("number of timesteps", timesteps.len()), ("number of text states", texts)] {
            if found != batch {
                return refuse(what, found, format!("{batch}, the number of samples"));
            }
        }
        let factor = 1usize << (self.config.blocks.len() - 1);
        for (what, size) in [("height", height), ("width", width)] {
            if size == 0 || (self.config.downsample_padding == 0 && !size.is_multiple_of(factor)) {
                return refuse(what, size, format!("a multiple of {factor}"));
            }
        }
        Ok(())
    }
}

/// Sines and cosines of `time` at geometrically spaced frequencies, in the `f32` arithmetic of diffusers.
fn sinusoids(time: f64, width: usize, config: &UnetConfig) -> Vec<f32> {
    let half = width / 2;
    let phase = |i: usize| {
        let exponent = -(10_000f64.ln() as f32) * i as f32 / (half as f32 - config.freq_shift as f32);
        time as f32 * exponent.exp()
    };
    let sines = (0..half).map(|i| phase(i).sin());
    let cosines = (0..half).map(|i| phase(i).cos());
    let mut waves: Vec<f32> =
        if config.flip_sin_to_cos { cosines.chain(sines).collect() } else { sines.chain(cosines).collect() };
    waves.resize(width, 0.0);
    waves
}
