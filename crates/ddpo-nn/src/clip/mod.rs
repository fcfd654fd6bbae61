//! CLIP: texts and pictures in one space, in which a picture is near to what describes it.

mod config;
mod encoders;
mod files;
mod layout;
mod open_clip;

pub use config::ClipConfig;
pub use encoders::{ClipImageEncoder, ClipTextEncoder, EncoderWeights};
