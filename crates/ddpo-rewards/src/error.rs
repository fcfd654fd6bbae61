//! What can go wrong in this crate, each kind once.

use std::path::PathBuf;
use std::process::ExitStatus;

use crate::spelling::did_you_mean;
use crate::web::WebFailure;

/// The result of this crate's constructors; scoring itself answers with [`ddpo_core::Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a reward: what was attempted, the value found and the value wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No kind of reward has this name.
    #[error("unknown reward `{name}`{}; known: {}", did_you_mean(nearest), known.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The nearest that exists, or the name as a program.
        nearest: Option<String>,
        /// All, as they are written in a line.
        known: Vec<String>,
    },
    /// A kind of reward does not have this option.
    #[error("the reward `{kind}` has no option `{option}`{}; it has{}", did_you_mean(nearest), listed(known))]
    UnknownOption {
        /// The kind.
        kind: String,
        /// The option asked for.
        option: String,
        /// The nearest that it has.
        nearest: Option<String>,
        /// All that it has.
        known: Vec<String>,
    },
    /// A value that an option of a reward cannot take.
    #[error("invalid reward `{kind}`: {reason}")]
    Options {
        /// The kind.
        kind: String,
        /// The option, the value found and the value wanted.
        reason: String,
    },
    /// A reward that asks the base model, or the judge that is shipped with it, where there is none.
    #[error("the reward `{kind}` asks the model, and there is none here")]
    NeedsModel {
        /// The kind.
        kind: String,
    },
    /// A reward that asks the judge that is shipped with a model, where the model has none.
    #[error("the reward `{kind}` asks the judge that is shipped with the model, and this model has none")]
    NeedsRecogniser {
        /// The kind.
        kind: String,
    },
    /// The judge of a model cannot be read, or cannot judge.
    #[error("the model's judge: {reason}")]
    Recogniser {
        /// What was found and what was wanted.
        reason: String,
    },
    /// A reward that compares prompts, where there are too few.
    #[error("compare prompts: {found} found for the reward `{kind}`, at least 2 wanted")]
    FewPrompts {
        /// The kind.
        kind: String,
        /// The number of prompts found.
        found: usize,
    },
    /// A network of a reward cannot be had.
    #[error(transparent)]
    Model(#[from] crate::learned::ModelFailure),
    /// The core refused.
    #[error(transparent)]
    Core(#[from] ddpo_core::Error),
    /// A reward answered with the wrong number of values.
    #[error("score images: number of values is {found}, wanted {wanted}")]
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
    /// A program did not start.
    #[error("start the reward program `{program}`")]
    Start {
        /// The program, with its arguments.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A name without a slash is looked for in PATH alone, and there is a file of this name.
    #[error(
        "start the reward program `{program}`: not found in PATH, where a name without a slash is looked for (did you mean `./{program}`?)"
    )]
    NotInPath {
        /// The program.
        program: String,
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
        /// The program, with its arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// A program did not answer in time, and was stopped.
    #[error(
        "ask the reward program `{program}`: {} within {seconds} s, it was stopped{}",
        if *written { "no answer" } else { "the request was not read" },
        skipped.as_ref().map(|line| format!("; the last line on its standard output, `{line}`, is no answer")).unwrap_or_default()
    )]
    Timeout {
        /// The program, with its arguments.
        program: String,
        /// The time allowed.
        seconds: u64,
        /// Whether the whole request went into the pipe, and so was an answer that was waited for.
        written: bool,
        /// What it printed last that is no answer.
        skipped: Option<String>,
    },
    /// A program's answer is not what the protocol says.
    #[error(
        "ask the reward program `{program}`: `{answer}` found, a JSON list of {wanted} number{} wanted, or an object with them as `scores`",
        if *wanted == 1 { "" } else { "s" }
    )]
    Answer {
        /// The program, with its arguments.
        program: String,
        /// The beginning of the answer.
        answer: String,
        /// How many numbers were wanted.
        wanted: usize,
    },
    /// A program answered before it was asked.
    #[error(
        "ask the reward program `{program}`: the answer `{line}` found before it was asked, one answer a request wanted"
    )]
    Unasked {
        /// The program, with its arguments.
        program: String,
        /// What it printed.
        line: String,
    },
    /// A program answered another request than the one that it was asked.
    #[error(
        "ask the reward program `{program}`: an answer to request {found} found, to request {wanted} wanted (`id` of both)"
    )]
    WrongRequest {
        /// The program, with its arguments.
        program: String,
        /// The request that was answered.
        found: u64,
        /// The request that was asked.
        wanted: u64,
    },
    /// A program says that it could not score.
    #[error("ask the reward program `{program}`: it says `{message}`")]
    Refused {
        /// The program, with its arguments.
        program: String,
        /// Its own words.
        message: String,
    },
    /// A program answers in a version of the protocol that is not spoken here.
    #[error(
        "ask the reward program `{program}`: an answer of version {version} of the protocol found, version 2 or 1 wanted, which docs/reference/rewards.md describes"
    )]
    ProtocolVersion {
        /// The program, with its arguments.
        program: String,
        /// The version it names.
        version: String,
    },
    /// Talking to a program failed.
    #[error("talk to the reward program `{program}`")]
    Pipe {
        /// The program, with its arguments.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A picture for a server could not be encoded.
    #[error("encode a picture for the reward")]
    Encode {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Texts could not be compared.
    #[error("compare what a model says with what it should say")]
    Compare {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Questions about a prompt that cannot be asked.
    #[error(
        "ask about the prompt `{prompt}`: its metadata have `questions` or `answers` that do not fit, lists of texts of the same length wanted for both"
    )]
    Questions {
        /// The prompt.
        prompt: String,
    },
    /// Scores could not be kept.
    #[error("keep scores in `{}`", path.display())]
    Cache {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Asking a server failed.
    #[error("ask `{url}`: {failure}")]
    Web {
        /// The address.
        url: String,
        /// Why.
        failure: WebFailure,
    },
}

impl Error {
    /// Whether the same request would fail again.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Web { failure, .. } => failure.is_permanent(),
            Self::Start { .. } | Self::NotInPath { .. } | Self::ProtocolVersion { .. } | Self::Core(_) => true,
            other => other.is_usage(),
        }
    }

    /// Whether the configuration is at fault, and not what was done with it.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::UnknownOption { .. } | Self::Options { .. })
    }
}

fn listed(known: &[String]) -> String {
    if known.is_empty() { " none of its own".to_owned() } else { format!(": {}", known.join(", ")) }
}
