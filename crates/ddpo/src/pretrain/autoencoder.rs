//! The first stage: an autoencoder whose latents the denoiser learns.

use std::ops::Range;

use burn::tensor::Device;
use ddpo_models::{Vae, VaeConfig};
use ddpo_nn::Weights;

use super::compose::Compositor;
use super::data::ImageFolder;
use super::draws::Draws;
use super::recipe::AutoencoderConfig;
use super::source::Source;
use super::stage::{Losses, Stage};
use super::tensors::{host, tensor};
use crate::Result;

/// The name of the network in checkpoints and files.
pub(super) const PART: &str = "vae";

/// The number of the draws that the latents' spread is measured on; stages have those below, and 4 on.
const SPREAD_STAGE: u64 = 3;

/// The network's shape for pictures of `size` pixels.
pub(super) fn config(recipe: &AutoencoderConfig, size: usize) -> VaeConfig {
    VaeConfig::small(&recipe.channels, recipe.latent_channels, size)
}

/// What the stage reads and never changes.
pub(super) struct Autoencoder<'a> {
    pub(super) vae: &'a Vae,
    pub(super) recipe: &'a AutoencoderConfig,
    pub(super) source: &'a Source,
    pub(super) device: &'a Device,
}

impl Autoencoder<'_> {
    /// The loss of some rows of one random batch: mean absolute and mean squared error of the reconstruction, and a little KL
    /// to the unit normal, which keeps the latents bounded. Also returns the squared error alone.
    pub(super) fn loss(&self, weights: &Weights, draws: &mut Draws, rows: Range<usize>) -> Result<Losses> {
        let (batch, side) = (self.recipe.stage.batch_size, self.source.size());
        let images =
            tensor(pictures(self.source, batch, draws, rows.clone()), [rows.len(), side, side, 3], self.device);
        let posterior = self.vae.encode(weights, images.clone())?;
        let shape = posterior.mean.dims();
        let size = shape[1..].iter().product::<usize>();
        let noise = draws.normal(batch * size)[rows.start * size..rows.end * size].to_vec();
        let noise = tensor(noise, shape, self.device);
        let latents = posterior.mean.clone() + posterior.log_variance.clone().mul_scalar(0.5).exp() * noise;
        let error = self.vae.decode(weights, latents)? - images;
        // KL(N(m, s²) ‖ N(0, 1)) = ½ (m² + s² − 1 − ln s²), Kingma and Welling, arXiv 1312.6114, appendix B.
        let kl = (posterior.mean.square() + posterior.log_variance.clone().exp() - posterior.log_variance)
            .sub_scalar(1.0)
            .mul_scalar(0.5)
            .mean();
        let mse = error.clone().square().mean();
        Ok(Losses { loss: error.abs().mean() + mse.clone() + kl.mul_scalar(self.recipe.kl_weight), mse })
    }
}

/// The pictures of some rows of a batch, flat.
pub(super) fn pictures(source: &Source, batch: usize, draws: &mut Draws, rows: Range<usize>) -> Vec<f32> {
    match source {
        Source::Folder(folder) => {
            let pictures: Vec<usize> = (0..batch).map(|_| folder.pick(draws.uniform())).collect();
            let flips: Vec<bool> = pictures.iter().map(|_| draws.uniform() < 0.5).collect();
            folder.batch(&pictures[rows.clone()], &flips[rows])
        }
        Source::Composed { pictures: compositor, .. } => {
            // Half of them as the denoiser sees them, half as other people's pictures may be.
            let draw = |row: usize| match row % 2 {
                0 => compositor.draw(&mut draws.row(row)),
                _ => compositor.draw_anywhere(&mut draws.row(row)),
            };
            rows.flat_map(|row| draw(row).pixels).collect()
        }
    }
}

/// The standard deviation of the latents of 512 compositions, which are the same for a seed, and the shape of one.
pub(super) fn spread(
    vae: &Vae,
    weights: &Weights,
    compositor: &Compositor,
    seed: u64,
    device: &Device,
) -> Result<(f64, [usize; 3])> {
    let draws = Draws::new(seed, SPREAD_STAGE, 0);
    let (mut sums, mut count, mut shape) = ([0.0; 2], 0, [0; 3]);
    for first in (0..512).step_by(32) {
        let pixels = (first..first + 32).flat_map(|row| compositor.draw(&mut draws.row(row)).pixels).collect();
        let side = compositor.config.size;
        let mean = vae.encode(weights, tensor(pixels, [32, side, side, 3], device))?.mean;
        let [_, height, width, channels] = mean.dims();
        shape = [height, width, channels];
        let mean = host(mean)?;
        let powers = |power: i32| mean.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>();
        sums = [sums[0] + powers(1), sums[1] + powers(2)];
        count += mean.len();
    }
    let [mean, square] = sums.map(|sum| sum / count as f64);
    Ok(((square - mean * mean).sqrt(), shape))
}

/// The latents of every picture and of its mirror image, `[2, pictures, H, W, C]` flat and unscaled, with the shape of one.
pub(super) fn latents(
    vae: &Vae,
    weights: &Weights,
    folder: &ImageFolder,
    device: &Device,
) -> Result<(Vec<f32>, [usize; 3])> {
    let mut all = Vec::new();
    let mut shape = [0; 3];
    for flip in [false, true] {
        let rows: Vec<usize> = (0..folder.examples.len()).collect();
        for rows in rows.chunks(32) {
            let images =
                tensor(folder.batch(rows, &vec![flip; rows.len()]), [rows.len(), folder.size, folder.size, 3], device);
            let mean = vae.encode(weights, images)?.mean;
            let [_, height, width, channels] = mean.dims();
            shape = [height, width, channels];
            all.extend(host(mean)?);
        }
    }
    Ok((all, shape))
}

/// A fresh stage.
pub(super) fn stage(vae: &Vae, recipe: &AutoencoderConfig, seed: u64, device: &Device) -> Stage {
    Stage::new(recipe.stage, vec![(PART, vae.specs().clone())], seed, device)
}
