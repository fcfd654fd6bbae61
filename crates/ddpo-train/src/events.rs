//! What a run tells whoever listens: metrics, progress, images, warnings.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use ddpo_core::{RgbImage, metrics};
use serde::Serialize;

use crate::error::Error;
use crate::histogram::Histogram;
use crate::non_finite::NonFiniteBatch;

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

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Record {
    /// An epoch's training samples.
    Epoch(EpochRecord),
    /// One optimizer step of a policy gradient.
    Update(UpdateRecord),
    /// One optimizer step of a weighted regression.
    Regression(RegressionRecord),
    /// A held-out evaluation.
    Eval(EvalRecord),
}

/// What an epoch's training samples scored, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Rewards asked for since the run began.
    pub reward_queries: u64,
    /// Mean reward of the epoch's samples.
    pub reward_mean: f64,
    /// Their population standard deviation.
    pub reward_std: f64,
    /// Seconds of sampling, decoding included.
    pub sample_seconds: f64,
    /// Seconds of scoring.
    pub reward_seconds: f64,
    /// Seconds of updates.
    pub train_seconds: f64,
    /// The epoch's samples over the sum of the three times.
    pub images_per_second: f64,
    /// How the rewards of the epoch's samples are distributed.
    pub reward_histogram: Histogram,
    /// Samples and optimizer steps left out because a number was not finite.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What one optimizer step saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct UpdateRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The surrogate loss, a mean over the step's rows.
    pub loss: f64,
    /// ½ mean((ℓ − ℓ_old)²).
    pub approx_kl: f64,
    /// The share of ratios outside of the clip range.
    pub clip_fraction: f64,
    /// max |ratio − 1|: exactly 0 at the first update of an epoch.
    pub ratio_max_deviation: f64,
    /// The gradient's global L2 norm before clipping.
    pub grad_norm: f64,
    /// Exact KL divergence of the steps from the base model's, a mean over the rows; where it is penalised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kl_to_base: Option<f64>,
}

/// What one optimizer step of a weighted regression saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RegressionRecord {
    /// The round, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The weighted denoising error, a mean over the step's rows.
    pub loss: f64,
    /// The same without weights.
    pub error: f64,
    /// (Σw)²/Σw² over the samples of the round: how many of them count.
    pub effective_samples: f64,
    /// The gradient's global L2 norm before clipping.
    pub grad_norm: f64,
}

/// What the policy is worth on prompts and seeds that training never uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EvalRecord {
    /// The epochs done; 0 is the base model.
    pub epoch: u64,
    /// Mean of the reward that is being optimised.
    pub reward_mean: f64,
    /// Means of the rewards that are not, by name.
    pub held_out: BTreeMap<String, f64>,
    /// Exact KL divergence of whole chains from the base model, in nats, a mean over samples.
    pub kl_to_base: f64,
    /// The samples' mean distance from each other.
    pub diversity: f64,
    /// How the rewards are distributed.
    pub reward_histogram: Histogram,
    /// The share of prompts whose mean reward is above the base model's; none for the base model itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub improved: Option<f64>,
}

impl EpochRecord {
    /// This record with its throughput over `samples`.
    pub(crate) fn with_throughput(mut self, samples: usize) -> Self {
        self.images_per_second = samples as f64 / (self.sample_seconds + self.reward_seconds + self.train_seconds);
        self
    }
}

impl Record {
    /// The epoch.
    pub fn epoch(&self) -> u64 {
        match self {
            Self::Epoch(r) => r.epoch,
            Self::Update(r) => r.epoch,
            Self::Regression(r) => r.epoch,
            Self::Eval(r) => r.epoch,
        }
    }

    /// What a curve has on its horizontal axis: the optimizer step for updates, the epoch for the rest.
    pub fn step(&self) -> u64 {
        match self {
            Self::Update(r) => r.step,
            Self::Regression(r) => r.step,
            other => other.epoch(),
        }
    }

    /// The measurements by the field's own names.
    pub fn scalars(&self) -> Vec<(String, f64)> {
        let fixed: Vec<(&str, f64)> = match self {
            Self::Epoch(r) => vec![
                (metrics::REWARD_MEAN, r.reward_mean),
                (metrics::REWARD_STD, r.reward_std),
                (metrics::SAMPLE_SECONDS, r.sample_seconds),
                (metrics::REWARD_SECONDS, r.reward_seconds),
                (metrics::TRAIN_SECONDS, r.train_seconds),
            ],
            Self::Update(r) => vec![
                (metrics::LOSS, r.loss),
                (metrics::APPROX_KL, r.approx_kl),
                (metrics::CLIP_FRACTION, r.clip_fraction),
                (metrics::RATIO_MAX_DEVIATION, r.ratio_max_deviation),
                (metrics::GRAD_NORM, r.grad_norm),
            ],
            Self::Regression(r) => vec![
                (metrics::LOSS, r.loss),
                (metrics::DENOISING_ERROR, r.error),
                (metrics::EFFECTIVE_SAMPLES, r.effective_samples),
                (metrics::GRAD_NORM, r.grad_norm),
            ],
            Self::Eval(r) => vec![
                (metrics::EVAL_REWARD_MEAN, r.reward_mean),
                (metrics::EVAL_KL_TO_BASE, r.kl_to_base),
                (metrics::EVAL_DIVERSITY, r.diversity),
            ],
        };
        let mut scalars: Vec<(String, f64)> = fixed.into_iter().map(|(name, x)| (name.to_owned(), x)).collect();
        scalars.extend(self.optional().into_iter().map(|(name, x)| (name.to_owned(), x)));
        if let Self::Eval(r) = self {
            scalars.extend(r.held_out.iter().map(|(name, x)| (format!("eval/held_out/{name}"), *x)));
        }
        scalars
    }

    /// The measurement that not every record of its kind has.
    fn optional(&self) -> Option<(&'static str, f64)> {
        match self {
            Self::Update(r) => Some((metrics::KL_TO_BASE, r.kl_to_base?)),
            Self::Eval(r) => Some((metrics::EVAL_IMPROVED, r.improved?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_have_the_documented_fields_in_order() {
        let check = |record: Record, expected: &str| assert_eq!(serde_json::to_string(&record).unwrap(), expected);
        check(
            Record::Epoch(EpochRecord { epoch: 1, reward_queries: 64, ..Default::default() }),
            r#"{"kind":"epoch","epoch":1,"reward_queries":64,"reward_mean":0.0,"reward_std":0.0,"sample_seconds":0.0,"reward_seconds":0.0,"train_seconds":0.0,"images_per_second":0.0,"reward_histogram":{"low":0.0,"high":0.0,"counts":[]}}"#,
        );
        check(
            Record::Update(UpdateRecord { epoch: 1, step: 1, loss: 0.5, ..Default::default() }),
            r#"{"kind":"update","epoch":1,"step":1,"loss":0.5,"approx_kl":0.0,"clip_fraction":0.0,"ratio_max_deviation":0.0,"grad_norm":0.0}"#,
        );
        check(
            Record::Regression(RegressionRecord { epoch: 1, step: 1, error: 0.5, ..Default::default() }),
            r#"{"kind":"regression","epoch":1,"step":1,"loss":0.0,"error":0.5,"effective_samples":0.0,"grad_norm":0.0}"#,
        );
        let held_out = BTreeMap::from([("aesthetic".to_owned(), 5.5)]);
        check(
            Record::Eval(EvalRecord { held_out, ..Default::default() }),
            r#"{"kind":"eval","epoch":0,"reward_mean":0.0,"held_out":{"aesthetic":5.5},"kl_to_base":0.0,"diversity":0.0,"reward_histogram":{"low":0.0,"high":0.0,"counts":[]}}"#,
        );
    }
}
