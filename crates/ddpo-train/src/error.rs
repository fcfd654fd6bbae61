//! What can go wrong in training: the operation, the value found, the value wanted.

use std::path::{Path, PathBuf};

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Named tensors which cannot be written to, or read from, a safetensors file.
    #[error("cannot convert named tensors: {0}")]
    Tensors(String),
    /// A file operation failed.
    #[error("cannot {operation} `{}`", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Another process works in the run directory.
    #[error("run directory `{}` is in use by {}", directory.display(), owner_text(*owner))]
    Locked {
        /// The run directory.
        directory: PathBuf,
        /// The process id its owner left, where it could be read.
        owner: Option<u32>,
    },
    /// A file which a checkpoint describes has lost bytes.
    #[error("`{}` has {found} bytes, but the checkpoint was written when it had {wanted}", path.display())]
    FileTooShort {
        /// The file.
        path: PathBuf,
        /// Its length now, in bytes.
        found: u64,
        /// The length the checkpoint recorded, in bytes.
        wanted: u64,
    },
    /// A checkpoint is not what was written: a part is missing, cut or changed.
    #[error("checkpoint `{}` is damaged: {reason}", path.display())]
    DamagedCheckpoint {
        /// The checkpoint's directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint was written by a later version of this program.
    #[error("checkpoint `{}` has format {found}, but this version reads formats up to {wanted}", path.display())]
    NewerFormat {
        /// The checkpoint's directory.
        path: PathBuf,
        /// The format found.
        found: u64,
        /// The newest format known.
        wanted: u64,
    },
    /// A checkpoint belongs to another model.
    #[error("the checkpoint was trained from model `{found}`, but this run has `{wanted}`")]
    OtherModel {
        /// The model in the checkpoint.
        found: String,
        /// The model of this run.
        wanted: String,
    },
    /// A setting which decides the results has changed since the checkpoint was written.
    #[error("setting `{key}` is {wanted}, but the checkpoint was trained with {found}")]
    ChangedSetting {
        /// The setting's name.
        key: String,
        /// Its value in the checkpoint.
        found: String,
        /// Its value now.
        wanted: String,
    },
    /// Two lists of parameters do not fit each other.
    #[error("parameter `{name}` of {what}: found {found}, wanted {wanted}")]
    Parameter {
        /// The parameter.
        name: String,
        /// Which of its tensors.
        what: &'static str,
        /// What was found.
        found: String,
        /// What was wanted.
        wanted: String,
    },
    /// A number of things differs from the number which was asked for.
    #[error("{what}: found {found}, wanted {wanted}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The number found.
        found: usize,
        /// The number wanted.
        wanted: usize,
    },
    /// The ranks of a run have lost each other.
    #[error("the connection between the ranks of the run is lost")]
    Ranks(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another rank has failed.
    #[error("rank {rank} failed: {message}")]
    Rank {
        /// Its number.
        rank: usize,
        /// What it said.
        message: String,
    },
    /// What should be the same on all ranks is not.
    #[error(
        "rank {rank} has come to other bytes than rank 0: {what}; all ranks need the same program on processors of one kind"
    )]
    RanksDiffer {
        /// What it is.
        what: &'static str,
        /// The first rank that differs.
        rank: usize,
    },
    /// A plan's numbers do not fit each other.
    #[error("{what} is {found}, wanted {wanted}")]
    Plan {
        /// The number.
        what: &'static str,
        /// Its value.
        found: String,
        /// What it must satisfy.
        wanted: String,
    },
    /// Something went wrong with a reward, and it went on.
    #[error("the reward `{reward}` in epoch {epoch}: {message}")]
    RewardWarning {
        /// The reward's name.
        reward: String,
        /// The epoch, from 1; of an evaluation, the epochs done.
        epoch: u64,
        /// What happened.
        message: String,
    },
    /// The thread of a reward has ended before its work did.
    #[error("the reward `{reward}` stopped without an answer")]
    RewardThread {
        /// The reward's name.
        reward: String,
    },
    /// A loss, gradient or reward is NaN or infinite.
    #[error("{what} is {value} in epoch {epoch}{}, wanted a finite number", location.text())]
    NonFinite {
        /// Which number.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The epoch, from 1.
        epoch: u64,
        /// Where in the epoch.
        location: Location,
    },
    /// The run was asked to stop; nothing is wrong.
    #[error("interrupted in epoch {epoch}")]
    Interrupted {
        /// The epoch which was not finished, from 1.
        epoch: u64,
    },
    /// Sampling and training do not compute the same probabilities.
    #[error(
        "ratios of the first update are up to {deviation:.0e} away from 1, with a clip range of {clip_range:e}: sampling and training round \
         differently here, and what is clipped is partly chance; train.gradient-checkpointing, model.dtype = \"f32\" or a wider \
         train.clip-range helps"
    )]
    RatioDrift {
        /// The largest deviation.
        deviation: f64,
        /// The clip range.
        clip_range: f64,
    },
    /// The norm of a gradient is NaN or infinite; a trainer says where.
    #[error("gradient norm is {0}, wanted a finite number")]
    NonFiniteNorm(f64),
    /// A device could not run or read back a computation.
    #[error("cannot read a tensor back from the device: {0}")]
    Device(String),
    /// The system gives no more threads.
    #[error("cannot start a thread for training")]
    Threads(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The core refused.
    #[error(transparent)]
    Core(#[from] ddpo_core::Error),
    /// A tracker could not record an event.
    #[error("tracker `{tracker}` failed")]
    Tracker {
        /// The tracker's name.
        tracker: String,
        /// Why.
        source: Box<Error>,
    },
    /// A run which has no checkpoint yet goes on from its beginning.
    #[error("there is no checkpoint in `{}` yet, so the run starts again from its beginning", path.display())]
    NoCheckpoint {
        /// The directory of checkpoints.
        path: PathBuf,
    },
    /// A checkpoint could not be written; the run goes on from the last good state.
    #[error("the checkpoint of epoch {epoch} was not written")]
    Checkpoint {
        /// The epochs done.
        epoch: u64,
        /// Why.
        source: Box<Error>,
    },
    /// A record could not be encoded.
    #[error("cannot encode a record: {0}")]
    Encoding(String),
}

/// Where in an epoch something happened; unknown parts are left out of messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location {
    /// The sample's number within the epoch, from 0.
    pub sample: Option<usize>,
    /// The denoising step, from 0.
    pub step: Option<usize>,
    /// The optimizer step of the run, from 1.
    pub update: Option<u64>,
    /// The sample's prompt.
    pub prompt: Option<String>,
}

impl Location {
    fn text(&self) -> String {
        let mut text = String::new();
        if let Some(sample) = self.sample {
            text += &format!(", sample {sample}");
        }
        if let Some(step) = self.step {
            text += &format!(", denoising step {step}");
        }
        if let Some(update) = self.update {
            text += &format!(", update {update}");
        }
        if let Some(prompt) = &self.prompt {
            text += &format!(", prompt `{prompt}`");
        }
        text
    }
}

impl Error {
    /// The message followed by those of its causes.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    }

    /// The same number in a location that has been found since.
    pub(crate) fn at(self, location: Location) -> Self {
        match self {
            Self::NonFinite { what, value, epoch, .. } => Self::NonFinite { what, value, epoch, location },
            other => other,
        }
    }

    pub(crate) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { operation, path: path.to_path_buf(), source }
    }

    pub(crate) fn device(error: impl std::fmt::Display) -> Self {
        Self::Device(error.to_string())
    }

    pub(crate) fn plan(what: &'static str, found: impl ToString, wanted: impl ToString) -> Self {
        Self::Plan { what, found: found.to_string(), wanted: wanted.to_string() }
    }
}

fn owner_text(owner: Option<u32>) -> String {
    owner.map_or_else(|| "another process".to_owned(), |id| format!("process {id}"))
}
