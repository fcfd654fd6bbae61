//! Stable Diffusion 1.x and 2.x pipelines, as pure functions of named parameters: the UNet, the autoencoder, adapters, the
//! directory they live in, and the policy that training moves.
//!
//! Parameters, layers, the text encoder and the tokenizer are those of [`ddpo_nn`], whose [`Error`] is this crate's.
//!
//! Images and latents are channels-last, `[B, H, W, C]`, in `f32`; files keep diffusers' layout.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod cost;
mod denoiser;
mod embedding;
mod lora;
mod pipeline;
mod policy;
mod recompute;
mod required;
mod scheduler;
mod single_file;
mod unet;
mod vae;
mod weighted;

pub use cost::Cost;
pub use ddpo_nn::{Error, Result};
pub use denoiser::UnetDenoiser;
pub use embedding::Embedding;
pub use lora::{Adapter, KohyaDetails, Lora, LoraConfig, LoraFormat};
pub use pipeline::{Pipeline, Placements};
pub use policy::DiffusionPolicy;
pub use required::{RequiredFiles, required_configuration, required_files};
pub use scheduler::{Sampler, SchedulerConfig};
pub use single_file::SingleFile;
pub use unet::{BlockConfig, TextContext, Unet, UnetConfig};
pub use vae::{LatentDistribution, Vae, VaeConfig};

/// The diffusers release whose formats are written.
pub(crate) const DIFFUSERS_VERSION: &str = "0.35.1";
