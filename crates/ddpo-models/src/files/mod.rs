//! The files of a model: where they come from, what is in them, how they are written.

mod required;
mod safetensors;
mod shards;
mod source;
mod write;

pub(crate) use required::COMPONENTS;
pub use required::{RequiredFiles, required_files, shards_of};
pub use safetensors::FileDtype;
pub(crate) use safetensors::{TensorFile, encode};
pub(crate) use shards::open_weights;
pub use source::ModelFiles;
pub(crate) use source::{Bytes, map};
pub(crate) use write::{write_atomically, write_json};
