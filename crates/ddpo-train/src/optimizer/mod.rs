//! AdamW over a flat, ordered list of parameters, with the gradient sum it consumes.
//!
//! Nothing here knows what the parameters are: a LoRA, a whole UNet, a text encoder.

mod adamw;
mod gradient;
mod shards;
mod step;

pub use adamw::{AdamW, AdamWConfig, Update};
pub use gradient::{GradientSum, gradients_of};
pub(crate) use shards::{ShardSums, Shards};
