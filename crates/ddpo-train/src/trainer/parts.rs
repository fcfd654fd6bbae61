//! What runs are made of.

use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use ddpo_core::{Advantage, Judge, NoiseSchedule, Objective, PromptId, RgbImage, Scheduler, Weighting};

use super::anchor::Anchor;
use super::evaluation::Evaluation;
use crate::prompts::EncodedPrompts;
use crate::ranks::Ranks;

/// Makes pictures of the last states of chains. Any closure of this form is one.
pub trait Decoder<const D: usize>: Send + Sync {
    /// One picture a row of `states` `[B, ..]`.
    ///
    /// # Errors
    /// Whatever the model reports, as [`ddpo_core::Error::Model`].
    fn decode(&self, states: &Tensor<D>) -> ddpo_core::Result<Vec<RgbImage>>;
}

impl<const D: usize, F: Fn(&Tensor<D>) -> ddpo_core::Result<Vec<RgbImage>> + Send + Sync> Decoder<D> for F {
    fn decode(&self, states: &Tensor<D>) -> ddpo_core::Result<Vec<RgbImage>> {
        self(states)
    }
}

/// Makes clean states of pictures. Any closure of this form is one.
pub trait Encoder<const D: usize>: Send + Sync {
    /// A row `[B, ..]` a picture, without autodiff. A row does not know its batch: it is the same whatever other pictures there are.
    ///
    /// # Errors
    /// Whatever the model reports, as [`ddpo_core::Error::Model`].
    fn encode(&self, images: &[RgbImage]) -> ddpo_core::Result<Tensor<D>>;
}

impl<const D: usize, F: Fn(&[RgbImage]) -> ddpo_core::Result<Tensor<D>> + Send + Sync> Encoder<D> for F {
    fn encode(&self, images: &[RgbImage]) -> ddpo_core::Result<Tensor<D>> {
        self(images)
    }
}

/// A reward, and whatever else epochs of its own have.
///
/// Its training prompts are its list of [`Parts::prompts`], those of its evaluation its list of
/// [`Evaluation::prompts`]. What else a run is made of all tasks share; an advantage of its own is one
/// for its range of prompts ([`AdvantageByRange`](ddpo_core::advantage::AdvantageByRange)).
pub struct Task {
    /// Its name in records; empty for what a run without tasks optimises.
    pub name: String,
    /// What is optimised.
    pub reward: Judge,
    /// Consecutive samples which share a prompt, where that is not the number of the plan.
    pub samples_per_prompt: Option<usize>,
}

impl Task {
    /// What a run without tasks optimises.
    pub fn only(reward: Judge) -> Self {
        Self { name: String::new(), reward, samples_per_prompt: None }
    }
}

/// What every run is made of: the model behind contracts, and everything which judges it.
pub struct Parts<P, const D: usize> {
    /// The policy.
    pub policy: P,
    /// The sampler.
    pub scheduler: Box<dyn Scheduler>,
    /// From last states to pictures.
    pub decoder: Box<dyn Decoder<D>>,
    /// What is optimised: a task, or several in turns, an epoch each. Never none.
    pub tasks: Vec<Task>,
    /// The training prompts, a list for each task.
    pub prompts: EncodedPrompts,
    /// The shape of a batch of states; the first entry is replaced by the batch.
    pub shape: [usize; D],
    /// Where states live, without autodiff.
    pub device: Device,
    /// The share of itself that a moving average of the policy keeps at an optimizer step, at most: it is what is evaluated and
    /// handed back, and the policy learns on without it. `None` keeps no average.
    pub average_decay: Option<f64>,
    /// What the policy is held to while it learns; `None` for nothing.
    pub anchor: Option<Arc<Anchor<D>>>,
    /// The held-out evaluation; `None` never evaluates.
    pub evaluation: Option<Evaluation>,
    /// How many sampling batches, and micro-batches of an update, are worked on at once, each by one thread; 1 leaves all
    /// threads to each operation of one after the other. It changes no byte of the result.
    pub lanes: usize,
    /// The processes that do the run together, each its share of sampling, scoring, evaluation and micro-batches.
    pub ranks: Ranks,
}

/// What a DDPO run is made of.
pub struct DdpoParts<P, const D: usize> {
    /// What every run is made of.
    pub shared: Parts<P, D>,
    /// DDPO-IS or DDPO-SF.
    pub objective: Box<dyn Objective>,
    /// From rewards to advantages.
    pub advantage: Box<dyn Advantage>,
}

/// What a distillation is made of.
pub struct DistillParts<P, const D: usize> {
    /// What every run is made of; the policy is the student, its reference the teacher, and the scheduler what evaluations sample the
    /// student with.
    pub shared: Parts<P, D>,
    /// The noise levels the model was trained with.
    pub schedule: NoiseSchedule,
    /// What the teacher draws its pictures with.
    pub teacher: Box<dyn Scheduler>,
}

/// What a run of the forward process is made of.
pub struct ForwardParts<P, const D: usize> {
    /// What every run is made of.
    pub shared: Parts<P, D>,
    /// The noise levels the model was trained with.
    pub schedule: NoiseSchedule,
    /// From rewards to advantages.
    pub advantage: Box<dyn Advantage>,
}

/// Pairs of pictures of one prompt each, as clean states.
pub struct PicturePairs<const D: usize> {
    /// `[2 N, ..]`, in pairs: first the preferred picture, then the other. Without autodiff.
    pub states: Tensor<D>,
    /// The prompt of each pair, N of them.
    pub prompts: Vec<PromptId>,
}

/// What a run on given pairs is made of.
pub struct PreferenceParts<P, const D: usize> {
    /// What every run is made of.
    pub shared: Parts<P, D>,
    /// The noise levels the model was trained with.
    pub schedule: NoiseSchedule,
    /// What is learnt from.
    pub pairs: PicturePairs<D>,
}

/// What a run of reward-weighted regression is made of.
pub struct RwrParts<P, const D: usize> {
    /// What every run is made of.
    pub shared: Parts<P, D>,
    /// From pictures to clean states.
    pub encoder: Box<dyn Encoder<D>>,
    /// The noise levels the model was trained with.
    pub schedule: NoiseSchedule,
    /// From rewards to weights.
    pub weighting: Box<dyn Weighting>,
}
