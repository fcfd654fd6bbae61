//! CLIP's tokenizer, and the making of its vocabulary from captions.

mod alphabet;
mod encode;
mod files;
mod pieces;
mod python;
mod settings;
mod train;

pub use encode::{Encoded, Tokenizer};
pub use pieces::PromptPiece;
