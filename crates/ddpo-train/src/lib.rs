//! Training: the loop, its optimizer, its checkpoints and its trackers.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod checkpoint;
mod error;
mod events;
pub mod fs;
mod optimizer;
mod tensors;
mod tracker;

pub use checkpoint::{Checkpoint, CheckpointStore, Found, Identity, Snapshot};
pub use error::{Error, Place, Result};
pub use events::{EpochRecord, EvalRecord, Event, Progress, Record, Samples, Stage, UpdateRecord};
pub use optimizer::{AdamW, AdamWConfig, GradientSum, Update};
pub use tensors::NamedTensor;
pub use tracker::{Broadcast, Csv, JsonLines, Memory, TensorBoard, Tracker};
