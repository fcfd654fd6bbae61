//! What a DDPO run is made of.

use burn::tensor::{Device, Tensor};
use ddpo_core::{Advantage, Objective, Reward, RgbImage, Scheduler};

use super::evaluation::Evaluation;
use crate::prompts::PromptBook;

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

/// What a DDPO run is made of: the model behind contracts, and everything which judges it.
pub struct DdpoParts<P, const D: usize> {
    /// The policy.
    pub policy: P,
    /// The sampler.
    pub scheduler: Box<dyn Scheduler>,
    /// From last states to pictures.
    pub decoder: Box<dyn Decoder<D>>,
    /// What is optimised.
    pub reward: Box<dyn Reward>,
    /// DDPO-IS or DDPO-SF.
    pub objective: Box<dyn Objective>,
    /// From rewards to advantages.
    pub advantage: Box<dyn Advantage>,
    /// The training prompts.
    pub prompts: PromptBook,
    /// The shape of a batch of states; the first entry is replaced by the batch.
    pub shape: [usize; D],
    /// Where states live, without autodiff.
    pub device: Device,
    /// The held-out evaluation; `None` never evaluates.
    pub evaluation: Option<Evaluation>,
}
