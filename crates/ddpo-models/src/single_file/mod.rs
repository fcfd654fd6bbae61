//! One-file checkpoints in the layout of the original Stable Diffusion code: how their tensors are called, and which model they
//! are of.

mod kind;
mod names;
mod text;

pub use kind::SingleFile;
pub(crate) use names::{UNET, unet_name, vae_name};
pub(crate) use text::text_weights;
