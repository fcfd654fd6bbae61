//! Trackers: where events go. A tracker that fails is reported, and the run goes on.

mod answers;
mod batches;
mod broadcast;
mod csv;
mod jsonl;
mod memory;
mod tensorboard;

pub use answers::Answers;
pub use batches::Batches;
pub use broadcast::Broadcast;
pub use csv::Csv;
pub use jsonl::JsonLines;
pub use memory::Memory;
pub use tensorboard::TensorBoard;

use crate::error::Result;
use crate::events::Event;

/// Something that listens to a run.
///
/// ```
/// use ddpo_train::{Event, Tracker};
///
/// fn tell(trackers: &mut [Box<dyn Tracker>], event: &Event<'_>) {
///     for tracker in trackers {
///         if let Err(error) = tracker.record(event) {
///             eprintln!("{}: {error}", tracker.name()); // and the run goes on
///         }
///     }
/// }
/// ```
pub trait Tracker {
    /// The name; for a tracker with a growing file, the file's name.
    fn name(&self) -> &str;

    /// Records an event, or passes over one it has no use for.
    ///
    /// # Errors
    /// Whatever kept it from recording; the run reports it and goes on.
    fn record(&mut self, event: &Event<'_>) -> Result<()>;

    /// Puts on the disk what was recorded, and says how long the growing file is, in bytes. A checkpoint keeps the
    /// number, and a resumed run cuts the file back to it.
    ///
    /// # Errors
    /// Whatever kept it from the disk; until it is there, no checkpoint is written.
    fn sync(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }
}
