//! CLIP's text encoder.

mod config;
mod emphasis;
mod load;
mod model;

pub use config::TextEncoderConfig;
pub(crate) use config::{read_activation, read_settings};
pub use emphasis::{PromptPart, parse_weights};
pub use model::{TextEncoder, TextOutput};
