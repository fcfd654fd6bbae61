//! Pretraining: from an image folder with captions to a small text-to-image model in the diffusers layout.

mod augment;
mod autoencoder;
mod compose;
mod data;
mod decoder;
mod denoiser;
mod draws;
mod examples;
mod journal;
mod judge;
mod recipe;
mod run;
mod source;
mod stage;
mod tensors;

pub use compose::{Composition, Compositor, CompositorConfig, Drawings, Ground, Split};
pub use data::{Example, ImageFolder};
pub use recipe::{AutoencoderConfig, DecoderConfig, DenoiserConfig, JudgeConfig, PretrainConfig, StageConfig};
pub use run::{PretrainEvent, PretrainRequest, pretrain};
