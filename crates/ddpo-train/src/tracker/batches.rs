//! `non-finite/`: the batches behind numbers that are not finite.

use std::path::{Path, PathBuf};

use super::Tracker;
use crate::error::Result;
use crate::events::Event;
use crate::fs;

/// Files of one process at most: the first few say what is wrong, and a run which goes on must not fill the disk.
const MOST: usize = 16;

/// Writes the batch_record of a failure as `non-finite/epoch_NNNN.safetensors`, of an optimizer step with its number.
#[derive(Debug)]
pub struct Batches {
    directory: PathBuf,
    written: usize,
}

impl Batches {
    /// The directory's name in a run directory.
    pub const NAME: &'static str = "non-finite";

    /// Files in the run directory `run`.
    pub fn new(run: &Path) -> Self {
        Self { directory: run.join(Self::NAME), written: 0 }
    }
}

impl Tracker for Batches {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::NonFinite(batch_record) = event else { return Ok(()) };
        if self.written == MOST {
            return Ok(());
        }
        let (epoch, update) = (batch_record.members.epoch, batch_record.members.update);
        let name = update.map_or(format!("epoch_{epoch:04}"), |update| format!("epoch_{epoch:04}_update_{update:06}"));
        fs::create_directory(&self.directory)?;
        fs::write_atomic(&self.directory.join(name + ".safetensors"), &batch_record.to_bytes()?)?;
        self.written += 1;
        Ok(())
    }
}
