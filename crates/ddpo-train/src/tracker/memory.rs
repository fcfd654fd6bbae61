//! A tracker which keeps what it hears, for tests and for callers of the library.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Tracker;
use crate::error::Result;
use crate::events::{Event, Progress};
use crate::record::Record;

/// Keeps records, progress and warnings; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    heard: Arc<Mutex<Heard>>,
}

#[derive(Debug, Default)]
struct Heard {
    records: Vec<Record>,
    progress: Vec<Progress>,
    warnings: Vec<String>,
    saved: Vec<u64>,
}

impl Memory {
    /// A tracker which has heard nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The records so far.
    pub fn records(&self) -> Vec<Record> {
        self.heard().records.clone()
    }

    /// The progress so far.
    pub fn progress(&self) -> Vec<Progress> {
        self.heard().progress.clone()
    }

    /// The warnings so far, as text with their causes.
    pub fn warnings(&self) -> Vec<String> {
        self.heard().warnings.clone()
    }

    /// The epochs of the checkpoints so far.
    pub fn saved(&self) -> Vec<u64> {
        self.heard().saved.clone()
    }

    /// A panic of another thread leaves these lists whole, so the lock's poison means nothing here.
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracker for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        let mut heard = self.heard();
        match event {
            Event::Record(record) => heard.records.push((*record).clone()),
            Event::Progress(progress) => heard.progress.push(*progress),
            Event::Warning(error) => heard.warnings.push(error.chain()),
            Event::Saved { epoch, .. } => heard.saved.push(*epoch),
            _ => {}
        }
        Ok(())
    }
}
