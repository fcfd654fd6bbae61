//! CLIP's tokenizer, and the making of its vocabulary from captions; the tokenizers of the BERT family.

mod added;
mod alphabet;
mod encode;
mod files;
mod pieces;
mod plain;
mod python;
mod settings;
mod train;
mod words;

pub use encode::{Encoded, Tokenizer};
pub use pieces::PromptPiece;
pub use plain::PlainTokenizer;
