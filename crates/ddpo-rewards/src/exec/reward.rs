//! The reward that asks a program.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ddpo_core::{Reward, RewardBatch};

use super::process::Process;
use super::protocol::{answer, request};
use crate::{Error, Result};

/// Enough for a large model to load and to judge a batch on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A reward computed by a program of the user's, which reads lines of
/// `{"images": [paths of PNG files], "prompts": [texts]}` and answers each with a line of numbers, `[0.5, …]`.
pub struct Exec {
    name: String,
    program: String,
    arguments: Vec<String>,
    timeout: Duration,
    process: Mutex<Option<Process>>,
}

impl Exec {
    /// The reward of a command: a program and its arguments, separated by white space. Nothing is started yet.
    ///
    /// # Errors
    /// [`Error::NoProgram`] for an empty command.
    pub fn new(command: &str) -> Result<Self> {
        let mut words = command.split_whitespace().map(String::from);
        let program = words.next().ok_or(Error::NoProgram)?;
        let name = format!("exec:{}", command.trim());
        Ok(Self { name, program, arguments: words.collect(), timeout: TIMEOUT, process: Mutex::new(None) })
    }

    /// Allows this much time for each batch, the first one's model loading included; ten minutes unless said.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn ask(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let folder = tempfile::tempdir().map_err(|source| self.pipe(source))?;
        let request = request(folder.path(), batch)?;
        let mut slot = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        // The process leaves the slot while it is asked: after a failure its answers no longer match the requests, so it
        // is dropped, and the next batch starts a fresh one.
        let mut process = match slot.take() {
            Some(process) => process,
            None => Process::start(&self.program, &self.arguments)?,
        };
        let line = process.ask(&request, self.timeout)?;
        let values = answer(&line).ok_or_else(|| self.unreadable(&line, batch.images.len()))?;
        *slot = Some(process);
        Ok(values)
    }

    fn pipe(&self, source: std::io::Error) -> Error {
        Error::Pipe { program: self.program.clone(), source }
    }

    fn unreadable(&self, line: &str, wanted: usize) -> Error {
        Error::Answer { program: self.program.clone(), answer: line.chars().take(200).collect(), wanted }
    }
}

impl Reward for Exec {
    fn name(&self) -> &str {
        &self.name
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        self.ask(batch).map_err(|error| ddpo_core::Error::reward(&self.name, error))
    }
}
