//! The reward that asks a program.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ddpo_core::{Reward, RewardBatch};
use serde_json::Value;

use super::command::CommandLine;
use super::process::Process;
use crate::files::Pictures;
use crate::{Result, protocol};

/// Enough for a large model to load and to judge a batch on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A reward computed by a program of the user's, which reads lines of
/// `{"protocol": 2, "id": 0, "images": [paths of PNG files], "prompts": [texts]}` and answers each with a line
/// `{"id": 0, "scores": [0.5, …]}`, or with the list alone.
///
/// Whoever asks while it is being asked starts the program once more.
pub struct Exec {
    name: String,
    command: CommandLine,
    timeout: Duration,
    metadata: bool,
    /// The programs that run and are not being asked.
    idle: Mutex<Vec<Process>>,
}

impl Exec {
    /// The reward of a command. Nothing is started before the first question.
    pub fn new(command: CommandLine) -> Self {
        Self { name: command.reward_name(), command, timeout: TIMEOUT, metadata: false, idle: Mutex::default() }
    }

    /// Allows this much time for each batch, the first one's model loading included; ten minutes unless said.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Also hands over what is known of each prompt, as `"metadata": [objects]`.
    #[must_use]
    pub fn with_metadata(self) -> Self {
        Self { metadata: true, ..self }
    }

    /// One number an image, of the program that is started where none is idle.
    /// Whether the program is there; it is not started.
    pub(super) fn check_program(&self) -> Result<()> {
        self.command.check_program()
    }

    pub(super) fn ask(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let pictures = Pictures::write(batch)?;
        // A process leaves the list while it is asked: after a failure its answers may no longer match the requests, so it is
        // dropped, and the next batch starts a fresh one.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut process = idle.map_or_else(|| Process::start(&self.command), Ok)?;
        let request = |id| {
            let paths = pictures.paths.iter().map(|path| Value::from(path.to_string_lossy()));
            let metadata = self.metadata.then_some(batch.metadata);
            format!("{}\n", protocol::request(id, paths.collect(), batch.prompts, metadata))
        };
        let scores = process.ask(request, batch.images.len(), self.timeout)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(process);
        Ok(scores)
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
