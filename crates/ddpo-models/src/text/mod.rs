//! CLIP's text side: tokenizer and encoder.

mod config;
mod model;

pub use config::{TextActivation, TextConfig};
pub use model::TextEncoder;
