//! What pictures are drawn from, whoever asks for them and however they are found.

use ddpo_core::{Condition, Epoch, Noise, PromptId, Reduction, SampleId, Sampling, Scheduler};
use ddpo_train::EncodedPrompts;

use crate::config::SamplerPlan;
use crate::error::Result;
use crate::prompts::PromptList;

use super::loaded::LoadedModel;

/// Encoded prompts, and the chains of their pictures.
pub(super) struct Drawing<'a> {
    loaded: &'a LoadedModel,
    /// The sampler.
    pub scheduler: Box<dyn Scheduler>,
    guidance: f64,
    /// What guidance steers away from.
    pub unconditional: Condition,
    noise: Noise,
    /// The prompts, encoded.
    pub prompts: EncodedPrompts,
    /// The shape of a latent.
    pub shape: [usize; 4],
    /// The number and the prompt of each picture.
    pub chains: Vec<(SampleId, PromptId)>,
}

/// What is asked for, whoever asks.
pub(super) struct Asked<'a> {
    pub prompts: PromptList,
    pub negative_prompt: &'a str,
    pub sampler: &'a SamplerPlan,
    pub guidance: f64,
    pub noise: Noise,
    pub size: [Option<usize>; 2],
}

impl<'a> Drawing<'a> {
    /// Checks what is asked for, and encodes its prompts.
    pub fn new(loaded: &'a LoadedModel, asked: Asked<'_>, chains: Vec<(SampleId, PromptId)>) -> Result<Self> {
        let scheduler = loaded.scheduler(asked.sampler)?;
        let PromptList { texts, metadata } = asked.prompts;
        let (conditions, unconditional) = loaded.encode_guided(&texts, asked.negative_prompt)?;
        let prompts = EncodedPrompts::new(texts, conditions, unconditional.clone())?.with_metadata(metadata)?;
        let shape = loaded.latent_shape(asked.size)?;
        let Asked { guidance, noise, .. } = asked;
        Ok(Self { loaded, scheduler, guidance, unconditional, noise, prompts, shape, chains })
    }

    /// How a chain is sampled.
    pub fn sampling(&self) -> Sampling<'_, 4> {
        Sampling {
            scheduler: &*self.scheduler,
            guidance: self.guidance,
            unconditional: &self.unconditional,
            shape: self.shape,
            noise: self.noise,
            epoch: Epoch(0),
            reduction: Reduction::Mean,
            device: self.loaded.device(),
        }
    }

    /// The prompt of each picture, by number.
    pub fn ids(&self) -> Vec<PromptId> {
        self.chains.iter().map(|chain| chain.1).collect()
    }
}
