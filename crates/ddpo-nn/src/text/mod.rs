//! CLIP's text encoder.

mod config;
mod emphasis;
mod load;
mod model;

pub use config::TextEncoderConfig;
pub use emphasis::{PromptPart, parse_weights};
pub use model::{TextEncoder, TextOutput};
