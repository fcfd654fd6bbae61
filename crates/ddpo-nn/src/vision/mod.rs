//! Vision transformers: CLIP's image encoder, and BLIP's.

mod config;
mod load;
mod model;

pub use config::VisionConfig;
pub use model::{VisionOutput, VisionTower};
