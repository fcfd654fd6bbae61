//! The third stage: the decoder once more, on latents that are not quite clean, as a denoiser leaves them.

use std::ops::Range;

use burn::tensor::Device;
use ddpo_models::Vae;
use ddpo_nn::{Specs, Weights};

use super::autoencoder::{PART, pictures};
use super::draws::Draws;
use super::recipe::DecoderConfig;
use super::source::Source;
use super::stage::{Losses, Stage};
use super::tensors::tensor;
use crate::Result;

/// The parts of an autoencoder's file that a decoder is.
const DECODER: [&str; 2] = ["decoder.", "post_quant_conv."];

/// What the stage reads and never changes.
pub(super) struct Decoder<'a> {
    pub(super) vae: &'a Vae,
    /// Those of the first stage: the encoder keeps them.
    pub(super) weights: &'a Weights,
    pub(super) recipe: &'a DecoderConfig,
    pub(super) source: &'a Source,
    /// The standard deviation of the latents.
    pub(super) spread: f64,
    pub(super) device: &'a Device,
}

impl Decoder<'_> {
    /// A stage that begins with the weights of the first.
    pub(super) fn stage(&self) -> Result<Stage> {
        let is_decoder = |name: &str| DECODER.iter().any(|part| name.starts_with(part));
        let own: Vec<usize> = (0..self.vae.specs().len()).filter(|i| is_decoder(&self.vae.specs()[*i].name)).collect();
        let specs: Specs = own.iter().map(|i| self.vae.specs()[*i].clone()).collect();
        let all = self.weights.values();
        let values = own.into_iter().map(|i| all[i].clone()).collect();
        Ok(Stage::of(self.recipe.stage, vec![(PART, specs)], values, self.device))
    }

    /// Mean absolute and mean squared error of what some rows of one random batch become again; also the squared error alone.
    pub(super) fn loss(&self, decoder: &Weights, draws: &mut Draws, rows: Range<usize>) -> Result<Losses> {
        let (batch, side) = (self.recipe.stage.batch_size, self.source.size());
        let pixels = pictures(self.source, batch, draws, rows.clone());
        let images = tensor(pixels, [rows.len(), side, side, 3], self.device);
        let mean = self.vae.encode(self.weights, images.clone())?.mean;
        let shape = mean.dims();
        let size = shape[1..].iter().product::<usize>();
        let noise = rows.flat_map(|row| {
            let mut draws = draws.row(row + batch);
            let strength = (draws.uniform() * self.recipe.noise * self.spread) as f32;
            draws.normal(size).into_iter().map(move |noise| noise * strength)
        });
        let latents = mean + tensor(noise.collect(), shape, self.device);
        let error = self.vae.decode(&self.weights.overlaid(decoder), latents)? - images;
        let mse = error.clone().square().mean();
        Ok(Losses { loss: error.abs().mean() + mse.clone(), mse })
    }
}
