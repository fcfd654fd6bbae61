//! What the model is asked to draw: lists by name, lists from files, and the part set aside for evaluation.

mod animals;
mod compositions;
mod imagenet;
mod list;
mod pairs;
mod source;
mod split;
mod table;

pub(crate) use animals::article;
pub(crate) use compositions::is_held_out_pair;
pub use list::PromptList;
pub(crate) use pairs::{PicturePair, pairs_fingerprint, read_pairs};
pub use source::PromptSource;
pub use split::PromptSplit;
