//! What is measured: of an epoch's samples, of an optimizer step, in an evaluation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::{list, named, named_lists, nan, number};
use crate::histogram::Histogram;

/// What an epoch's training samples scored, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct EpochRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The task that it belongs to; of a run without tasks, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Rewards asked for since the run began.
    #[serde(default)]
    pub reward_queries: u64,
    /// Mean reward of the epoch's samples.
    #[serde(deserialize_with = "number")]
    pub reward_mean: f64,
    /// Their population standard deviation.
    #[serde(default = "nan", deserialize_with = "number")]
    pub reward_std: f64,
    /// Seconds of sampling, decoding included.
    #[serde(default)]
    pub sample_seconds: f64,
    /// Seconds of scoring after the last picture was there; what is scored while others are sampled costs none.
    #[serde(default)]
    pub reward_seconds: f64,
    /// Seconds that the rewards worked, whatever went on beside them.
    #[serde(default)]
    pub reward_busy_seconds: f64,
    /// Seconds of updates.
    #[serde(default)]
    pub train_seconds: f64,
    /// Seconds of the three that went on messages between the processes of a run, waiting for slower ones included; `None` for one
    /// process by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exchange_seconds: Option<f64>,
    /// The epoch's samples over the sum of the three times.
    #[serde(default = "nan", deserialize_with = "number")]
    pub images_per_second: f64,
    /// How the rewards of the epoch's samples are distributed.
    #[serde(default)]
    pub reward_histogram: Histogram,
    /// Means of what the reward was made of, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "named")]
    pub reward_parts: BTreeMap<String, f64>,
    /// Samples and optimizer steps left out because a number was not finite, or a reward gave none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EpochRecord {
    /// This record with its throughput over `samples`.
    pub(crate) fn with_throughput(mut self, samples: usize) -> Self {
        self.images_per_second = samples as f64 / self.seconds();
        self
    }

    /// Seconds of sampling, scoring and updates.
    pub fn seconds(&self) -> f64 {
        self.sample_seconds + self.reward_seconds + self.train_seconds
    }
}

/// What one optimizer step saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct UpdateRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The surrogate loss, a mean over the step's rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// ½ mean((ℓ − ℓ_old)²).
    #[serde(default = "nan", deserialize_with = "number")]
    pub approx_kl: f64,
    /// The share of ratios outside of the clip range.
    #[serde(default = "nan", deserialize_with = "number")]
    pub clip_fraction: f64,
    /// max |ratio − 1|: exactly 0 at the first update of an epoch.
    #[serde(default = "nan", deserialize_with = "number")]
    pub ratio_max_deviation: f64,
    /// The gradient's global L2 norm before clipping.
    #[serde(default = "nan", deserialize_with = "number")]
    pub grad_norm: f64,
    /// Exact KL divergence of the steps from the base model's, a mean over the rows; where it is penalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kl_to_base: Option<f64>,
    /// What the pairs were like, of algorithms that compare two samples.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<PairsRecord>,
}

/// What the pairs of one optimizer step were like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PairsRecord {
    /// The share of pairs of which neither sample is better.
    #[serde(deserialize_with = "number")]
    pub pair_ties: f64,
    /// Of the others, the share whose better sample the policy prefers by more than the base model does; NaN where there are none.
    #[serde(default = "nan", deserialize_with = "number")]
    pub pair_accuracy: f64,
    /// The share of rows that are clipped on the side they ought to come back from, where nothing pulls them.
    #[serde(default = "nan", deserialize_with = "number")]
    pub pair_stranded: f64,
}

/// What one optimizer step of a distillation saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct DistillationRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The loss, a mean over the step's rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The squared distance of the student's guesses from their targets, a mean over the rows and elements.
    #[serde(default = "nan", deserialize_with = "number")]
    pub distance_to_target: f64,
    /// The gradient's global L2 norm before clipping.
    #[serde(default = "nan", deserialize_with = "number")]
    pub grad_norm: f64,
}

/// What one optimizer step on given pairs saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct PreferenceRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The loss, a mean over the step's pairs.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The denoising error, a mean over both pictures of the step's pairs.
    #[serde(default = "nan", deserialize_with = "number")]
    pub denoising_error: f64,
    /// The share of pairs whose preferred picture the policy prefers by more than the base model does.
    #[serde(default = "nan", deserialize_with = "number")]
    pub pair_accuracy: f64,
    /// The gradient's global L2 norm before clipping.
    #[serde(default = "nan", deserialize_with = "number")]
    pub grad_norm: f64,
}

/// What the anchor saw beside one optimizer step, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct AnchorRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The anchor's error, a mean over its rows, without its weight: 0 while the policy is the base model that it is held to.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
}

/// What one optimizer step of a weighted regression saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct RegressionRecord {
    /// The round, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The weighted denoising error, a mean over the step's rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The same without weights.
    #[serde(default = "nan", deserialize_with = "number", alias = "error")]
    pub denoising_error: f64,
    /// (Σw)²/Σw² over the samples of the round: how many of them count.
    #[serde(default = "nan", deserialize_with = "number")]
    pub effective_samples: f64,
    /// The gradient's global L2 norm before clipping.
    #[serde(default = "nan", deserialize_with = "number")]
    pub grad_norm: f64,
}

/// What one optimizer step of a regression on corrected targets saw, before it changed anything.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct CorrectionRecord {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The optimizer step since the run began, from 1.
    pub step: u64,
    /// The weighted squared distance from the targets, a mean over the step's rows.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// The squared error of the predicted noise, a mean over elements and rows.
    #[serde(default = "nan", deserialize_with = "number")]
    pub denoising_error: f64,
    /// The squared distance of the predicted noise from the old policy's: exactly 0 while both are the same.
    #[serde(default = "nan", deserialize_with = "number")]
    pub distance_to_old: f64,
    /// The same from the base model's; where targets are anchored to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance_to_base: Option<f64>,
    /// The gradient's global L2 norm before clipping.
    #[serde(default = "nan", deserialize_with = "number")]
    pub grad_norm: f64,
}

/// What the policy is worth: the same prompts and seeds every time, and seeds that training never uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct EvalRecord {
    /// The epochs done; 0 is the base model.
    pub epoch: u64,
    /// Mean of the reward that is being optimised. Of a run with tasks, how far their rewards are above the base model's, in standard
    /// deviations of its pictures' rewards: a mean over pictures, and over the tasks that judge one.
    #[serde(deserialize_with = "number")]
    pub reward_mean: f64,
    /// Means of the rewards that are not, by name.
    #[serde(default, deserialize_with = "named")]
    pub held_out: BTreeMap<String, f64>,
    /// Means of what the reward that is being optimised was made of, by name; those of tasks behind the task's name and a slash.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "named")]
    pub reward_parts: BTreeMap<String, f64>,
    /// Exact KL divergence of whole chains from the base model, in nats, a mean over samples; NaN where the sampler draws nothing.
    #[serde(default = "nan", deserialize_with = "number")]
    pub kl_to_base: f64,
    /// The mean squared difference of the predicted noise from the base model's on noised copies of the samples, which depends on
    /// no sampler.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon_distance: Option<f64>,
    /// The same of the predicted clean sample.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x0_distance: Option<f64>,
    /// The mean distance of all pairs of samples, whatever their prompts.
    #[serde(default = "nan", deserialize_with = "number")]
    pub diversity: f64,
    /// The share of samples that show what their prompts name, by the judge that is shipped with the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_asked: Option<f64>,
    /// How the rewards are distributed.
    #[serde(default)]
    pub reward_histogram: Histogram,
    /// The share of prompts whose mean reward is above the base model's; none for the base model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub improved: Option<f64>,
    /// The reward of each sample, as in `reward_mean`; sample i has the evaluation prompt i modulo their number.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub rewards: Vec<f32>,
    /// The same of the rewards that are not optimised, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "named_lists")]
    pub held_out_rewards: BTreeMap<String, Vec<f32>>,
    /// What each task says by itself, in their order; nothing of a run without tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskEvalRecord>,
    /// Of an evaluation that has ended the run: the epoch of the best one, whose state is the product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_epoch: Option<u64>,
    /// Seconds of the evaluation.
    #[serde(default)]
    pub eval_seconds: f64,
}

/// What a task's reward says in an evaluation, of the pictures of its own prompts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct TaskEvalRecord {
    /// The task.
    pub name: String,
    /// Mean of its reward.
    #[serde(deserialize_with = "number")]
    pub reward_mean: f64,
    /// The share of its pictures that show what their prompts name, by the judge that is shipped with the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_asked: Option<f64>,
    /// The share of its prompts whose mean reward is above the base model's; none for the base model itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub improved: Option<f64>,
    /// Its reward of each of its pictures; picture i has its evaluation prompt i modulo their number.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list")]
    pub rewards: Vec<f32>,
}
