//! What a run tells whoever listens: metrics, progress, images, warnings.

use std::fmt;
use std::path::Path;

use ddpo_core::RgbImage;

use crate::error::Error;
use crate::non_finite::NonFiniteBatch;

use crate::record::Record;

/// Something that happened in a run.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A part of a stage is done.
    Progress(Progress),
    /// A measurement, which belongs in `metrics.jsonl`.
    Record(&'a Record),
    /// Evaluation images: the same prompts and seeds every time.
    Samples(Samples<'a>),
    /// What a reward says of pictures in words.
    Remarks(Remarks<'a>),
    /// A checkpoint was written.
    Saved {
        /// The epochs done.
        epoch: u64,
        /// Where it is.
        path: &'a Path,
    },
    /// Something failed, and the run goes on.
    Warning(&'a Error),
    /// A loss, a gradient or a reward is not finite: the batch it is of.
    NonFinite(&'a NonFiniteBatch),
    /// An evaluation has ended the run before its last epoch.
    Halted {
        /// The epochs done.
        epoch: u64,
        /// Why.
        reason: Halt,
    },
}

/// Why a run ends before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Halt {
    /// The policy is farther from the base model than allowed.
    Divergence {
        /// The divergence, in nats a chain.
        kl: f64,
    },
    /// What the policy sees in a noised picture is farther from what the base model sees than allowed.
    Distance {
        /// The mean square of the difference over latent elements.
        distance: f64,
    },
    /// Fewer pictures than allowed show what they were asked for.
    NotAsAsked {
        /// The base model's share.
        base: f64,
        /// The policy's.
        share: f64,
    },
    /// The watched reward has not become better for long.
    NoGain {
        /// Evaluations since the best one.
        evaluations: u64,
    },
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divergence { kl } => write!(f, "the divergence from the base model is {kl:.3} nats"),
            Self::Distance { distance } => write!(f, "the distance from the base model's pictures is {distance:.4}"),
            Self::NotAsAsked { base, share } => {
                write!(
                    f,
                    "{:.0} % of the pictures are as asked for, of the base model's {:.0} %",
                    100.0 * share,
                    100.0 * base
                )
            }
            Self::NoGain { evaluations } => {
                write!(f, "the last {evaluations} evaluations were no better than the best")
            }
        }
    }
}

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// The epoch, from 1; 0 before the first.
    pub epoch: u64,
    /// Units done: denoising steps, batches scored, micro-steps.
    pub done: usize,
    /// Units in the stage.
    pub total: usize,
}

/// A stage of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The policy makes images; a unit is one denoising step of one batch.
    Sampling,
    /// The reward scores them; a unit is one batch.
    Scoring,
    /// The policy is updated; a unit is one forward and backward pass.
    Training,
    /// The held-out evaluation; a unit is one denoising step of one batch.
    Evaluating,
}

/// Images made for an evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    /// The epochs done.
    pub epoch: u64,
    /// One image a prompt.
    pub images: &'a [RgbImage],
    /// The prompts, as many as images.
    pub prompts: &'a [String],
    /// The rewards, as many as images.
    pub rewards: &'a [f32],
}

/// What a reward says of pictures in words, such as the answers of a model that was asked what they show.
#[derive(Clone, Copy, Debug)]
pub struct Remarks<'a> {
    /// The reward's name.
    pub reward: &'a str,
    /// The epoch, from 1; of an evaluation, the epochs done.
    pub epoch: u64,
    /// [`Stage::Sampling`] for training's pictures, [`Stage::Evaluating`] for an evaluation's.
    pub stage: Stage,
    /// A picture each.
    pub remarks: &'a [Remark],
}

/// What a reward says of a picture in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Remark {
    /// The picture's number within the epoch or the evaluation, from 0.
    pub sample: usize,
    /// Its prompt.
    pub prompt: String,
    /// Its reward; NaN for none.
    pub value: f32,
    /// The words.
    pub text: String,
}
