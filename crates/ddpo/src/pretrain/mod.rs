//! Pretraining: from an image folder with captions to a small text-to-image model in the diffusers layout.

mod autoencoder;
mod data;
mod denoiser;
mod draws;
mod fidelity;
mod journal;
mod recipe;
mod run;
mod stage;
mod tensors;

pub use data::{Example, ImageFolder};
pub use fidelity::{LabelScore, fidelity, fidelity_request};
pub use recipe::{AutoencoderConfig, DenoiserConfig, PretrainConfig, StageConfig};
pub use run::{PretrainEvent, PretrainRequest, pretrain};
