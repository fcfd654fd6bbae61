//! The rewards of a run, also those that need the model.

use ddpo_core::Reward;
use ddpo_rewards::Weighted;

use crate::config::{ClassifierOptions, RewardTerm, RunPlan};
use crate::error::Result;
use crate::prompts::PromptSplit;
use crate::reward::RewardName;

use super::loaded::LoadedModel;
use super::posterior::PosteriorReward;

/// Opens rewards by name, with the base model at hand for those that ask it.
pub struct Judges<'a> {
    loaded: &'a LoadedModel,
    options: ClassifierOptions,
    /// What the diffusion classifier may compare a prompt with.
    prompts: Vec<String>,
    /// Whether an answer that is not finite is an error of the reward itself; a run has a policy for it.
    checked: bool,
}

impl<'a> Judges<'a> {
    /// The judges of a run: prompts are compared with all others of training and evaluation.
    pub(super) fn new(loaded: &'a LoadedModel, plan: &RunPlan, split: &PromptSplit) -> Self {
        let prompts = split.training.iter().chain(&split.evaluation).cloned().collect();
        Self { checked: false, ..Self::of(loaded, plan.config.classifier.clone(), prompts) }
    }

    /// Judges with these options, which compare a prompt with others of `prompts`.
    pub fn of(loaded: &'a LoadedModel, options: ClassifierOptions, prompts: Vec<String>) -> Self {
        Self { loaded, options, prompts, checked: true }
    }

    /// The reward of this name.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being made.
    pub fn open(&self, name: &RewardName) -> Result<Box<dyn Reward>> {
        if !name.needs_model() {
            return if self.checked { name.open() } else { name.open_unchecked() };
        }
        Ok(Box::new(PosteriorReward::new(self.loaded, &self.options, &self.prompts)?))
    }

    /// The weighted sum of the terms, or the one reward there is.
    pub(super) fn optimised(&self, terms: &[RewardTerm]) -> Result<Box<dyn Reward>> {
        if let [RewardTerm { reward, weight: 1.0 }] = terms {
            return self.open(reward);
        }
        let opened: Result<Vec<_>> =
            terms.iter().map(|term| Ok((self.open(&term.reward)?, term.weight as f32))).collect();
        Ok(Box::new(Weighted::new(opened?)?))
    }
}
