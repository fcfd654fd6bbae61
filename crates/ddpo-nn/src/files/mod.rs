//! The files of a model: where they come from, what is in them, how they are written.

mod lfs;
mod safetensors;
mod shards;
mod source;
mod write;

pub use lfs::refuse_lfs_pointer;
pub use safetensors::{FileDtype, TensorFile, encode};
pub use shards::{FoundWeights, WeightNames, find_weights, open_weights, shards_of};
pub use source::{Bytes, ModelFiles, map};
pub use write::{write_atomically, write_json};
