//! CLIP's text encoder.

mod config;
mod load;
mod model;

pub use config::TextEncoderConfig;
pub use model::{TextEncoder, TextOutput};
