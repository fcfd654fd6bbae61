//! The first stage: an autoencoder whose latents the denoiser learns.

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_models::{Vae, VaeConfig, Weights};

use super::data::ImageFolder;
use super::draws::Draws;
use super::recipe::AutoencoderConfig;
use super::run::{host, tensor};
use super::stage::Stage;
use crate::Result;

/// The name of the network in checkpoints and files.
pub(super) const PART: &str = "vae";

/// The network's shape for pictures of `size` pixels.
pub(super) fn config(recipe: &AutoencoderConfig, size: usize) -> VaeConfig {
    VaeConfig::small(&recipe.channels, recipe.latent_channels, size)
}

/// The loss of one random batch: mean absolute and mean squared error of the reconstruction, and a little KL to the unit normal,
/// which keeps the latents bounded. Also returns the squared error alone.
pub(super) fn loss(
    vae: &Vae,
    weights: &Weights,
    recipe: &AutoencoderConfig,
    folder: &ImageFolder,
    draws: &mut Draws,
    device: &Device,
) -> Result<(Tensor<1>, Tensor<1>)> {
    let rows: Vec<usize> = (0..recipe.stage.batch_size).map(|_| folder.pick(draws.uniform())).collect();
    let flips: Vec<bool> = rows.iter().map(|_| draws.uniform() < 0.5).collect();
    let images = tensor(folder.batch(&rows, &flips), [rows.len(), folder.size, folder.size, 3], device);
    let posterior = vae.encode(weights, images.clone())?;
    let noise = draws.normal(posterior.mean.shape().num_elements());
    let noise = Tensor::from_data(TensorData::new(noise, posterior.mean.shape()), device);
    let latents = posterior.mean.clone() + posterior.log_variance.clone().mul_scalar(0.5).exp() * noise;
    let error = vae.decode(weights, latents)? - images;
    // KL(N(m, s²) ‖ N(0, 1)) = ½ (m² + s² − 1 − ln s²), Kingma and Welling, arXiv 1312.6114, appendix B.
    let kl = (posterior.mean.square() + posterior.log_variance.clone().exp() - posterior.log_variance)
        .sub_scalar(1.0)
        .mul_scalar(0.5)
        .mean();
    let squared = error.clone().square().mean();
    Ok((error.abs().mean() + squared.clone() + kl.mul_scalar(recipe.kl_weight), squared))
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
