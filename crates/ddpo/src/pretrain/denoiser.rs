//! The second stage: the UNet and its text encoder learn to predict the velocity of a noisy latent.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use ddpo_core::PredictionKind;
use ddpo_core::schedule::Spacing;
use ddpo_models::{SchedulerConfig, Unet, UnetConfig};
use ddpo_nn::{TextEncoder, TextEncoderConfig, Tokenizer, Weights};

use super::draws::Draws;
use super::examples::Examples;
use super::recipe::DenoiserConfig;
use super::stage::{Losses, Stage};
use super::tensors::tensor;
use crate::Result;

/// The names of the networks in checkpoints and files, in the order of the stage's parts.
pub(super) const PARTS: [&str; 2] = ["unet", "text_encoder"];

/// Everything the stage reads and never changes.
pub(super) struct DenoiserStage<'a> {
    pub(super) recipe: &'a DenoiserConfig,
    pub(super) unet: Unet,
    pub(super) text: TextEncoder,
    pub(super) examples: Examples<'a>,
    pub(super) device: Device,
}

/// How it is trained to denoise and is sampled: Stable Diffusion's noise levels, rescaled so that the last is pure noise, the first step
/// there, and velocities, which are defined there (Lin et al., arXiv 2305.08891). Where the last level leaves a little of the signal, as
/// Stable Diffusion's own does, a model takes pure noise for a picture of a middle colour without a pattern.
pub(super) fn scheduler() -> SchedulerConfig {
    SchedulerConfig {
        prediction: PredictionKind::Velocity,
        rescale_betas_zero_snr: true,
        ..SchedulerConfig::default().spaced(Spacing::Trailing)
    }
}

/// The UNet's shape for latents of this shape.
pub(super) fn unet_config(recipe: &DenoiserConfig, [height, width, channels]: [usize; 3]) -> UnetConfig {
    let mut config = UnetConfig::small(&recipe.channels, recipe.heads, channels, [height, width], recipe.text_width);
    for (level, block) in config.blocks.iter_mut().enumerate() {
        let is_small = (height.max(width) >> level) <= recipe.attention_side;
        (block.down_attention, block.up_attention) = (is_small, is_small);
    }
    config
}

/// The text encoder's shape for this tokenizer.
pub(super) fn text_config(recipe: &DenoiserConfig, tokenizer: &Tokenizer) -> TextEncoderConfig {
    TextEncoderConfig::small(
        tokenizer.vocabulary_size(),
        recipe.text_width,
        recipe.text_layers,
        recipe.heads,
        tokenizer.max_length(),
    )
}

impl DenoiserStage<'_> {
    /// A fresh stage.
    pub(super) fn stage(&self, seed: u64) -> Stage {
        let specs = [self.unet.specs().clone(), self.text.specs().clone()];
        Stage::new(self.recipe.stage, PARTS.into_iter().zip(specs).collect(), seed, &self.device)
    }

    /// The weighted squared error of the predicted velocity on some rows of one random batch, and the unweighted one.
    pub(super) fn loss(&self, unet: &Weights, text: &Weights, draws: &mut Draws, rows: Range<usize>) -> Result<Losses> {
        let [height, width, channels] = self.examples.shape;
        let batch = self.examples.batch(self.recipe, draws, rows)?;
        let rows = batch.timesteps.len();
        let latent = |values| tensor(values, [rows, height, width, channels], &self.device);
        let states = self.text.forward(text, &batch.captions)?.hidden;
        let predicted = self.unet.forward(unet, latent(batch.noisy), &batch.timesteps, states)?;
        let error = (predicted - latent(batch.velocity)).square().reshape([rows, height * width * channels]);
        let error: Tensor<1> = error.mean_dim(1).reshape([rows]);
        let weighted = error.clone() * tensor(batch.weights, [rows], &self.device);
        Ok(Losses { loss: weighted.mean(), mse: error.mean() })
    }
}
