//! Low-rank adapters (Hu et al., arXiv 2106.09685) of a UNet: made, attached, merged, read and written.

mod adapter;
mod names;
mod read;
mod write;

pub use adapter::{Lora, LoraConfig};
pub use write::LoraFormat;
