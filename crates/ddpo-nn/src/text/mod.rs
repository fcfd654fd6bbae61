//! CLIP's text side: tokenizer and encoder.

mod config;
mod model;

pub use config::{TextActivation, TextEncoderConfig};
pub use model::TextEncoder;
