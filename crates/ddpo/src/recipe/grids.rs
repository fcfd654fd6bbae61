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
}

impl SampleGrids {
    /// Grids in the run directory `run`.
    pub fn new(run: &Path) -> Self {
        Self { directory: run.join("samples") }
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
        ddpo_train::fs::create_directory(&self.directory)?;
        ddpo_train::fs::write_atomic(&self.directory.join(format!("epoch_{:04}.png", samples.epoch)), &bytes)
    }
}
