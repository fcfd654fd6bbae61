//! The reward that asks a program.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ddpo_core::{Reward, RewardBatch, RgbImage};
use serde_json::Value;

use super::command::CommandLine;
use super::process::Process;
use crate::files::Pictures;
use crate::{Error, Result, protocol};

/// Enough for a large model to load and to judge a batch on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Side of the picture of a probe, in pixels.
const PROBE: u32 = 64;

/// A reward computed by a program of the user's, which reads lines of
/// `{"protocol": 2, "id": 0, "images": [paths of PNG files], "prompts": [texts]}` and answers each with a line
/// `{"id": 0, "scores": [0.5, …]}`, or with the list alone.
///
/// Whoever asks while it is being asked starts the program once more.
pub struct Exec {
    name: String,
    command: CommandLine,
    timeout: Duration,
    /// The programs that run and are not being asked.
    idle: Mutex<Vec<Process>>,
}

impl Exec {
    /// The reward of a command. Nothing is started before the first question.
    pub fn new(command: CommandLine) -> Self {
        Self { name: command.reward_name(), command, timeout: TIMEOUT, idle: Mutex::default() }
    }

    /// Allows this much time for each batch, the first one's model loading included; ten minutes unless said.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Starts the program and asks it about one grey image: whether it works is known before anything is sampled.
    ///
    /// # Errors
    /// Those of a question, and [`Error::Count`] where the answer is not one number.
    pub fn probe(&self, prompt: &str) -> Result<()> {
        let image = RgbImage::new(PROBE, PROBE, vec![128; (PROBE * PROBE * 3) as usize])?;
        let found = self.ask(&RewardBatch { images: &[image], prompts: &[prompt.to_owned()] })?.len();
        if found == 1 { Ok(()) } else { Err(Error::Count { found, wanted: 1 }) }
    }

    fn ask(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let pictures = Pictures::write(batch)?;
        // A process leaves the list while it is asked: after a failure its answers may no longer match the requests, so it is
        // dropped, and the next batch starts a fresh one.
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut process = idle.map_or_else(|| Process::start(&self.command), Ok)?;
        let request = |id| {
            let paths = pictures.paths.iter().map(|path| Value::from(path.to_string_lossy()));
            format!("{}\n", protocol::request(id, paths.collect(), batch.prompts))
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
