//! The autoencoder between images and latents (diffusers' `AutoencoderKL`).

mod coder;
mod config;
mod model;

pub use config::VaeConfig;
pub use model::{LatentDistribution, Vae};
