//! The parts of Stable Diffusion 1.x and 2.x pipelines, as pure functions of named parameters.
//!
//! A model here is a description: layers that know their sizes and the positions of their parameters. The numbers live
//! in [`Weights`], a flat named set with diffusers' names. Pretraining, averaging, full fine-tuning, adapters, a frozen
//! reference and checkpoints are therefore operations on that set, and one `forward` serves them all.
//!
//! Images and latents are channels-last, `[B, H, W, C]`, in `f32`; files keep diffusers' layout.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod error;
mod fields;
mod files;
mod lora;
mod nn;
mod params;
mod pipeline;
mod policy;
mod recompute;
mod scheduler;
mod text;
mod tokenizer;
mod unet;
mod vae;

pub use error::{Error, Result};
pub use files::{FileDtype, ModelFiles, RequiredFiles, required_files, shards_of};
pub use lora::{Lora, LoraConfig, LoraFormat};
pub use params::{Init, Layout, ParamSpec, Specs, Weights};
pub use pipeline::Pipeline;
pub use policy::{DiffusionPolicy, UnetDenoiser};
pub use scheduler::{Sampler, SchedulerConfig};
pub use text::{TextActivation, TextEncoder, TextEncoderConfig};
pub use tokenizer::{Encoded, Tokenizer};
pub use unet::{BlockConfig, TextContext, Unet, UnetConfig};
pub use vae::{LatentDistribution, Vae, VaeConfig};

/// The diffusers release whose formats are written.
pub(crate) const DIFFUSERS_VERSION: &str = "0.35.1";
/// The transformers release whose formats are written.
pub(crate) const TRANSFORMERS_VERSION: &str = "4.57.6";
