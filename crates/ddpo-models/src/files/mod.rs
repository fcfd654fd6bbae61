//! The files of a model: where they come from, what is in them, how they are written.

mod safetensors;
mod shards;
mod source;
mod write;

pub use safetensors::FileDtype;
pub(crate) use safetensors::{TensorFile, encode};
pub(crate) use shards::{WeightNames, open_weights};
pub use source::ModelFiles;
pub(crate) use source::{Bytes, map};
pub(crate) use write::{write_atomically, write_json};
