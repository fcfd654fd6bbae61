//! Checkpoints: what is kept, how it lies on the disk, and which one a run resumes from.

mod manifest;
mod snapshot;
mod store;

pub use snapshot::{Identity, Snapshot};
pub use store::{Checkpoint, CheckpointStore, Found};
