//! Sample grids: the pictures of every evaluation, the same prompts and seeds every time.

use std::path::{Path, PathBuf};

use ddpo_train::{Event, Tracker};

use crate::images::{encode_png, grid};

/// Pictures in a grid at most.
const MOST: usize = 32;

/// Pictures in a row.
const COLUMNS: usize = 8;

/// Writes `samples/epoch_NNNN.png`.
#[derive(Debug)]
pub(super) struct SampleGrids {
    directory: PathBuf,
    /// Names and contents of files which could not be written yet.
    waiting: Vec<(String, Vec<u8>)>,
}

impl SampleGrids {
    /// Grids in the run directory `run`.
    pub fn new(run: &Path) -> Self {
        Self { directory: run.join("samples"), waiting: Vec::new() }
    }

    /// Grids of a run that goes on from a checkpoint which knows of evaluations before the epoch `end` only: those of a last
    /// state that was evaluated out of turn go, as a run that never ended there has none.
    pub fn resume(run: &Path, end: u64) -> ddpo_train::Result<Self> {
        let grids = Self::new(run);
        for name in ddpo_train::fs::list_directory(&grids.directory)? {
            let epoch = name.strip_prefix("epoch_").and_then(|rest| rest.strip_suffix(".png")?.parse::<u64>().ok());
            if epoch.is_some_and(|epoch| epoch >= end) {
                ddpo_train::fs::remove_file(&grids.directory.join(&name))?;
            }
        }
        Ok(grids)
    }

    /// Writes what waits, oldest first; what is left after a failure waits for the next call.
    fn write(&mut self) -> ddpo_train::Result<()> {
        while let Some((name, bytes)) = self.waiting.first() {
            ddpo_train::fs::create_directory(&self.directory)?;
            ddpo_train::fs::write_atomic(&self.directory.join(name), bytes)?;
            self.waiting.remove(0);
        }
        Ok(())
    }
}

impl Tracker for SampleGrids {
    fn name(&self) -> &str {
        "samples"
    }

    fn record(&mut self, event: &Event<'_>) -> ddpo_train::Result<()> {
        let Event::Samples(samples) = event else { return Ok(()) };
        let shown = &samples.images[..samples.images.len().min(MOST)];
        let picture = grid(shown, COLUMNS).map_err(|error| ddpo_train::Error::Encoding(error.to_string()))?;
        let bytes = encode_png(&picture).map_err(|error| ddpo_train::Error::Encoding(error.to_string()))?;
        self.waiting.push((format!("epoch_{:04}.png", samples.epoch), bytes));
        self.write()
    }

    fn sync(&mut self) -> ddpo_train::Result<Option<u64>> {
        self.write().map(|()| None)
    }
}
