//! CLIP's text encoder.

mod config;
mod model;

pub use config::TextEncoderConfig;
pub use model::{TextEncoder, TextOutput};
