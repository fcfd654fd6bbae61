//! The denoising network of Stable Diffusion 1.x and 2.x (diffusers' `UNet2DConditionModel`).

mod blocks;
mod config;
mod model;

pub use config::{BlockConfig, UnetConfig};
pub use model::{TextContext, Unet};
