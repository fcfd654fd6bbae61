//! What can go wrong in this crate, each kind once.

use std::path::PathBuf;
use std::process::ExitStatus;

/// The result of this crate's constructors; scoring itself answers with [`ddpo_core::Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a reward: what was attempted, the value found and the value wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No reward has this name.
    #[error("find a reward: `{name}` found, one of {} wanted", known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The names that exist.
        known: Vec<&'static str>,
    },
    /// A weighted sum has no terms.
    #[error("weigh rewards: no reward found, at least one wanted")]
    NoTerms,
    /// A weight is NaN or infinite.
    #[error("weigh rewards: weight {weight} of `{reward}` found, a finite number wanted")]
    Weight {
        /// The reward that was to be weighted.
        reward: String,
        /// The weight found.
        weight: f32,
    },
    /// A batch has more prompts than images, or fewer.
    #[error("score a batch: {prompts} prompts found for {images} images, as many wanted")]
    Prompts {
        /// The number of prompts.
        prompts: usize,
        /// The number of images.
        images: usize,
    },
    /// A reward answered with the wrong number of values.
    #[error("score {wanted} images: {found} values found, {wanted} wanted")]
    Count {
        /// The number of values found.
        found: usize,
        /// The number of images.
        wanted: usize,
    },
    /// A reward answered NaN or infinity.
    #[error("score sample {sample} (prompt `{prompt}`): {value} found, a finite number wanted")]
    NonFinite {
        /// The sample's place in the batch, from 0.
        sample: usize,
        /// The sample's prompt.
        prompt: String,
        /// The value found.
        value: f32,
    },
    /// An image cannot be a JPEG file.
    #[error("measure sample {sample} as a JPEG: {width}x{height} pixels found, sides of 1 to 65535 wanted")]
    JpegSides {
        /// The sample's place in the batch, from 0.
        sample: usize,
        /// The width found.
        width: u32,
        /// The height found.
        height: u32,
    },
    /// `exec:` was given without a program.
    #[error("find a reward: `exec:` found, `exec:PROGRAM` wanted")]
    NoProgram,
    /// A program did not start.
    #[error("start the reward program `{program}`")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A picture for a program could not be written.
    #[error("write `{}` for the reward program", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A program ended before it answered.
    #[error("ask the reward program `{program}`: it ended ({status}) before it answered")]
    Died {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program did not answer in time, and was stopped.
    #[error("ask the reward program `{program}`: no answer within {seconds} seconds, it was stopped")]
    Timeout {
        /// The program.
        program: String,
        /// The time allowed.
        seconds: u64,
    },
    /// A program's answer is not what the protocol says.
    #[error("ask the reward program `{program}`: `{answer}` found, a JSON list of {wanted} numbers wanted")]
    Answer {
        /// The program.
        program: String,
        /// The beginning of the answer.
        answer: String,
        /// How many numbers were wanted.
        wanted: usize,
    },
    /// Talking to a program failed.
    #[error("talk to the reward program `{program}`")]
    Pipe {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
