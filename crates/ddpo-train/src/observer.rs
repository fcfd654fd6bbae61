//! What a trainer tells, and what it is told, while it works.

use crate::error::{Error, Result};
use crate::events::{Event, Progress};
use crate::record::Record;
use crate::stop::StopFlag;
use crate::tracker::Broadcast;

/// The trackers that hear of a piece of work, and the flag that ends it.
pub struct Observer<'a> {
    trackers: &'a mut Broadcast,
    stop: &'a StopFlag,
}

impl<'a> Observer<'a> {
    /// An observer which tells `trackers` and heeds `stop`.
    pub fn new(trackers: &'a mut Broadcast, stop: &'a StopFlag) -> Self {
        Self { trackers, stop }
    }

    /// Tells how far a stage is.
    pub fn progress(&mut self, progress: Progress) {
        self.trackers.record(&Event::Progress(progress));
    }

    /// Tells a measurement.
    pub fn record(&mut self, record: &Record) {
        self.trackers.record(&Event::Record(record));
    }

    /// Tells anything else.
    pub fn event(&mut self, event: &Event<'_>) {
        self.trackers.record(event);
    }

    /// The flag.
    pub fn stop(&self) -> &'a StopFlag {
        self.stop
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// [`Error::Interrupted`] with `epoch` once the flag is set.
    pub fn check(&self, epoch: u64) -> Result<()> {
        if self.stop.is_set() { Err(Error::Interrupted { epoch }) } else { Ok(()) }
    }
}
