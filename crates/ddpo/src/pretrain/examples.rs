//! Noisy latents with captions, on the host: what one step of the denoiser's stage learns from.

use std::ops::Range;

use burn::tensor::Device;
use ddpo_models::Vae;
use ddpo_nn::{Tokenizer, Weights};

use super::compose::Compositor;
use super::data::ImageFolder;
use super::draws::Draws;
use super::recipe::DenoiserConfig;
use super::tensors::{host, tensor};
use crate::Result;

/// Where examples come from, and the schedule of their noise.
pub(super) struct Examples<'a> {
    pub(super) pictures: Pictures<'a>,
    /// Height, width and channels of a latent.
    pub(super) shape: [usize; 3],
    /// ᾱ of every training timestep.
    pub(super) alphas_cumprod: Vec<f64>,
    /// Token ids of the empty caption.
    pub(super) empty: Vec<u32>,
}

/// Where latents and captions come from.
pub(super) enum Pictures<'a> {
    /// A folder's, encoded once.
    Folder(Encoded<'a>),
    /// Compositions, encoded as they are drawn.
    Composed(Encoder<'a>),
}

/// A folder's pictures and captions.
pub(super) struct Encoded<'a> {
    pub(super) folder: &'a ImageFolder,
    /// Scaled latents of every picture, then of every mirrored picture.
    pub(super) latents: Vec<f32>,
    /// Token ids of every caption of every picture.
    pub(super) captions: Vec<Vec<Vec<u32>>>,
}

/// What turns compositions into latents and token ids.
pub(super) struct Encoder<'a> {
    pub(super) compositor: &'a Compositor,
    pub(super) vae: &'a Vae,
    pub(super) weights: &'a Weights,
    pub(super) tokenizer: &'a Tokenizer,
    /// What latents are multiplied by.
    pub(super) scale: f64,
    pub(super) device: &'a Device,
}

/// Some rows of a batch; values row-major.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) noisy: Vec<f32>,
    /// What the network should say: √ᾱ ε − √(1−ᾱ) x₀.
    pub(super) velocity: Vec<f32>,
    pub(super) timesteps: Vec<f64>,
    pub(super) weights: Vec<f32>,
    pub(super) captions: Vec<Vec<u32>>,
}

impl Examples<'_> {
    /// Some rows of the batch that `draws` gives.
    pub(super) fn batch(&self, recipe: &DenoiserConfig, draws: &mut Draws, rows: Range<usize>) -> Result<Batch> {
        match &self.pictures {
            Pictures::Folder(pictures) => Ok(self.of_folder(pictures, recipe, draws, rows)),
            Pictures::Composed(encoder) => self.composed(encoder, recipe, draws, rows),
        }
    }

    /// The whole batch is drawn, from one stream, and `rows` of it are taken.
    fn of_folder(
        &self,
        pictures: &Encoded<'_>,
        recipe: &DenoiserConfig,
        draws: &mut Draws,
        rows: Range<usize>,
    ) -> Batch {
        let size: usize = self.shape.iter().product();
        let noise = draws.normal(recipe.stage.batch_size * size);
        let mut batch = Batch::default();
        for (row, noise) in noise.chunks_exact(size).enumerate() {
            let picture = pictures.folder.pick(draws.uniform());
            let mirrored = draws.below(2) * pictures.folder.examples.len();
            let step = draws.below(self.alphas_cumprod.len());
            let captions = &pictures.captions[picture];
            let chosen = draws.below(captions.len());
            let is_dropped = draws.uniform() < recipe.caption_dropout;
            if rows.contains(&row) {
                let clean = &pictures.latents[(picture + mirrored) * size..][..size];
                let caption = if is_dropped { &self.empty } else { &captions[chosen] };
                self.push(&mut batch, recipe, clean, noise, step, caption.clone());
            }
        }
        batch
    }

    /// Every row has a stream of its own, so that only the pictures of `rows` are composed and encoded.
    fn composed(
        &self,
        encoder: &Encoder<'_>,
        recipe: &DenoiserConfig,
        draws: &Draws,
        rows: Range<usize>,
    ) -> Result<Batch> {
        let size: usize = self.shape.iter().product();
        let shared = recipe.noisings.max(1);
        let pictures = rows.start / shared..rows.end.div_ceil(shared);
        let (mut pixels, mut captions) = (Vec::new(), Vec::new());
        for picture in pictures.clone() {
            let drawn = encoder.compositor.draw(&mut draws.row(picture));
            pixels.extend(drawn.pixels);
            captions.push(encoder.tokenizer.encode(&drawn.caption)?);
        }
        let latents = encoder.encode(pixels, pictures.len())?;
        let mut batch = Batch::default();
        let first = draws.row(2 * recipe.stage.batch_size).uniform();
        for row in rows {
            let picture = row / shared - pictures.start;
            let mut draws = draws.row(recipe.stage.batch_size + row);
            let step = (spread_evenly(first, row) * self.alphas_cumprod.len() as f64) as usize;
            let is_dropped = draws.uniform() < recipe.caption_dropout;
            let caption = if is_dropped { &self.empty } else { &captions[picture] };
            let noise = draws.normal(size);
            self.push(&mut batch, recipe, &latents[picture * size..][..size], &noise, step, caption.clone());
        }
        Ok(batch)
    }

    fn push(
        &self,
        batch: &mut Batch,
        recipe: &DenoiserConfig,
        clean: &[f32],
        noise: &[f32],
        step: usize,
        caption: Vec<u32>,
    ) {
        let alpha = self.alphas_cumprod[step];
        let (signal, spread) = (alpha.sqrt() as f32, (1.0 - alpha).sqrt() as f32);
        let snr = alpha / (1.0 - alpha);
        batch.noisy.extend(clean.iter().zip(noise).map(|(x, e)| signal * x + spread * e));
        batch.velocity.extend(clean.iter().zip(noise).map(|(x, e)| signal * e - spread * x));
        batch.timesteps.push(step as f64);
        batch.weights.push(((snr.min(recipe.snr_gamma) + 1.0) / (snr + 1.0)) as f32);
        batch.captions.push(caption);
    }
}

/// A uniform number in [0, 1) of which those of a batch's rows are spread evenly, whichever rows are taken: a loss that
/// differs between timesteps then differs less between batches (Kingma et al., arXiv 2107.00630, appendix I.1).
fn spread_evenly(first: f64, row: usize) -> f64 {
    /// The fractional part of the golden ratio: its multiples leave no large gap on a circle.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    (first + GOLDEN * row as f64).fract()
}

impl Encoder<'_> {
    /// Scaled latents of `count` pictures, whose colours are in [−1, 1].
    fn encode(&self, pixels: Vec<f32>, count: usize) -> Result<Vec<f32>> {
        let side = self.compositor.config.size;
        let mean = self.vae.encode(self.weights, tensor(pixels, [count, side, side, 3], self.device))?.mean;
        host(mean.mul_scalar(self.scale))
    }
}
