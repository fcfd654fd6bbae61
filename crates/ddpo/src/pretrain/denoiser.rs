//! The second stage: the UNet and its text encoder learn to predict the noise in a latent.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use ddpo_models::{Unet, UnetConfig};
use ddpo_nn::{TextEncoder, TextEncoderConfig, Tokenizer, Weights};

use super::data::ImageFolder;
use super::draws::Draws;
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
    pub(super) folder: &'a ImageFolder,
    /// Scaled latents of every picture, then of every mirrored picture.
    pub(super) latents: Vec<f32>,
    /// Height, width and channels of a latent.
    pub(super) shape: [usize; 3],
    /// ᾱ of every training timestep.
    pub(super) alphas_cumprod: Vec<f64>,
    /// Token ids of every caption of every picture.
    pub(super) captions: Vec<Vec<Vec<u32>>>,
    /// Token ids of the empty caption.
    pub(super) empty: Vec<u32>,
    pub(super) device: Device,
}

/// One training batch on the host.
struct Batch {
    noisy: Vec<f32>,
    noise: Vec<f32>,
    timesteps: Vec<f64>,
    weights: Vec<f32>,
    captions: Vec<Vec<u32>>,
}

/// The UNet's shape for latents of this shape.
pub(super) fn unet_config(recipe: &DenoiserConfig, [height, width, channels]: [usize; 3]) -> UnetConfig {
    UnetConfig::small(&recipe.channels, recipe.heads, channels, [height, width], recipe.text_width)
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

impl Batch {
    /// Some of its rows, of `size` values each.
    fn rows(mut self, rows: Range<usize>, size: usize) -> Self {
        let values = rows.start * size..rows.end * size;
        Self {
            noisy: self.noisy[values.clone()].to_vec(),
            noise: self.noise[values].to_vec(),
            timesteps: self.timesteps[rows.clone()].to_vec(),
            weights: self.weights[rows.clone()].to_vec(),
            captions: self.captions.drain(rows).collect(),
        }
    }
}

impl DenoiserStage<'_> {
    /// A fresh stage.
    pub(super) fn stage(&self, seed: u64) -> Stage {
        let specs = [self.unet.specs().clone(), self.text.specs().clone()];
        Stage::new(self.recipe.stage, PARTS.into_iter().zip(specs).collect(), seed, &self.device)
    }

    /// The Min-SNR weighted squared error of the predicted noise on some rows of one random batch, and the unweighted one.
    pub(super) fn loss(&self, unet: &Weights, text: &Weights, draws: &mut Draws, rows: Range<usize>) -> Result<Losses> {
        let [height, width, channels] = self.shape;
        let batch = self.draw(draws).rows(rows, height * width * channels);
        let rows = batch.timesteps.len();
        let latent = |values| tensor(values, [rows, height, width, channels], &self.device);
        let states = self.text.forward(text, &batch.captions)?.hidden;
        let predicted = self.unet.forward(unet, latent(batch.noisy), &batch.timesteps, states)?;
        let error = (predicted - latent(batch.noise)).square().reshape([rows, height * width * channels]);
        let error: Tensor<1> = error.mean_dim(1).reshape([rows]);
        let weighted = error.clone() * tensor(batch.weights, [rows], &self.device);
        Ok(Losses { loss: weighted.mean(), mse: error.mean() })
    }

    fn draw(&self, draws: &mut Draws) -> Batch {
        let rows = self.recipe.stage.batch_size;
        let size: usize = self.shape.iter().product();
        let mut batch = Batch {
            noisy: Vec::with_capacity(rows * size),
            noise: draws.normal(rows * size),
            timesteps: vec![],
            weights: vec![],
            captions: vec![],
        };
        for noise in batch.noise.chunks_exact(size) {
            let picture = self.folder.pick(draws.uniform());
            let mirrored = draws.below(2) * self.folder.examples.len();
            let step = draws.below(self.alphas_cumprod.len());
            let alpha = self.alphas_cumprod[step];
            let (signal, spread) = (alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32);
            let clean = &self.latents[(picture + mirrored) * size..][..size];
            batch.noisy.extend(clean.iter().zip(noise).map(|(x, e)| signal * x + spread * e));
            batch.timesteps.push(step as f64);
            batch.weights.push(self.snr_weight(alpha));
            batch.captions.push(self.caption(picture, draws));
        }
        batch
    }

    fn snr_weight(&self, alpha: f64) -> f32 {
        let snr = alpha / (1.0 - alpha);
        (snr.min(self.recipe.snr_gamma) / snr) as f32
    }

    fn caption(&self, picture: usize, draws: &mut Draws) -> Vec<u32> {
        let captions = &self.captions[picture];
        let chosen = draws.below(captions.len());
        if draws.uniform() < self.recipe.caption_dropout { self.empty.clone() } else { captions[chosen].clone() }
    }
}
