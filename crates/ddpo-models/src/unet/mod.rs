//! The denoising network of Stable Diffusion 1.x and 2.x (diffusers' `UNet2DConditionModel`).

mod blocks;
mod config;
mod model;
mod segments;

pub use config::{BlockConfig, UnetConfig};
pub use model::{TextContext, Unet};
pub(crate) use segments::Input;
