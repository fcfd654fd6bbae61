//! Low-rank adapters (Hu et al., arXiv 2106.09685) of a pipeline: made, attached, merged, read and written.

mod adapter;
mod layers;
mod names;
mod read;
mod settings;
mod source;
mod whole;
mod write;

pub use adapter::{Lora, LoraConfig};
pub use whole::Adapter;
pub use write::{KohyaDetails, LoraFormat};

/// A network of a pipeline that adapters change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Component {
    Unet,
    TextEncoder,
}
