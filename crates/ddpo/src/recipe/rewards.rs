//! What judges a run, and the base model as rewards see it.

use std::sync::Arc;

use burn::tensor::Tensor;
use ddpo_core::{Condition, Denoiser, Judge, NoiseSchedule, RgbImage, WeightedSum, WeightedTerm};
use ddpo_rewards::{BaseModel, RewardContext};

use crate::config::{RewardTerm, RunPlan};
use crate::error::Result;
use crate::prompts::{PromptList, PromptSplit};
use crate::reward::with_hub;

use super::loaded::LoadedModel;
use super::run_prompts::RunPrompts;

/// What judges the images of a run.
pub(super) struct Rewards {
    /// What each task optimises; of a run without tasks, one.
    pub optimised: Vec<Judge>,
    /// What is measured and never optimised.
    pub held_out: Vec<Judge>,
}

impl Rewards {
    /// Opens the rewards of a plan, and optimises the one that is `given` in the place of the plan's. Prompts are compared with
    /// all others of training and evaluation; where a task's reward does it, with those of the task.
    ///
    /// # Errors
    /// Whatever keeps one of them from working, as far as it can be known before anything is sampled.
    pub fn open(plan: &RunPlan, given: Option<Judge>, loaded: &LoadedModel, prompts: &RunPrompts) -> Result<Self> {
        let context = contexts(loaded.clone());
        let optimised = match given {
            Some(given) => vec![given],
            None => {
                let tasks = plan.optimised().into_iter().zip(prompts.tasks());
                tasks.map(|(terms, split)| optimised(terms, &context(split))).collect::<Result<_>>()?
            }
        };
        let context = context(prompts.all());
        let held_out = plan.held_out.iter().map(|reward| reward.open(&context));
        Ok(Self { optimised, held_out: held_out.collect::<Result<_, _>>()? })
    }
}

impl LoadedModel {
    /// Checks what only the model and the prompts can tell of a plan's rewards. Nothing is opened, started or fetched.
    ///
    /// # Errors
    ///
    /// Fails where a reward asks the judge of a model that has none, or of prompts that it does not know.
    pub fn check_rewards(&self, plan: &RunPlan, prompts: &RunPrompts) -> Result<()> {
        let context = contexts(self.clone());
        for (terms, split) in plan.optimised().into_iter().zip(prompts.tasks()) {
            let context = context(split);
            terms.iter().try_for_each(|term| term.reward.check_context(&context))?;
        }
        let context = context(prompts.all());
        Ok(plan.held_out.iter().try_for_each(|reward| reward.check_context(&context))?)
    }
}

/// What the rewards of a run are opened with, by the prompts that they see. All have their networks in common.
fn contexts(base: LoadedModel) -> impl Fn(&PromptSplit) -> RewardContext {
    let shared = context_of(base, PromptList::default());
    move |split| {
        let prompts = split.training.chain(&split.evaluation);
        shared.clone().with_prompts(prompts.texts, prompts.metadata)
    }
}

/// What rewards of a model's pictures of these prompts are opened with.
pub(super) fn context_of(base: LoadedModel, prompts: PromptList) -> RewardContext {
    let judge = base.judge();
    with_hub(RewardContext::of(Arc::new(base), Vec::new()))
        .with_prompts(prompts.texts, prompts.metadata)
        .with_recogniser(judge)
}

/// The weighted sum of the terms, or the one reward there is.
fn optimised(terms: &[RewardTerm], context: &RewardContext) -> Result<Judge> {
    if let [RewardTerm { reward, weight: 1.0, clip: None, normalise: None }] = terms {
        return Ok(reward.open(context)?);
    }
    let open = |term: &RewardTerm| {
        Ok(WeightedTerm {
            judge: term.reward.open(context)?,
            weight: term.weight as f32,
            clip: term.clip.map(|range| range.map(|end| end as f32)),
            normalise: term.normalise,
        })
    };
    Ok(Judge::Sum(WeightedSum::new(terms.iter().map(open).collect::<Result<_>>()?)?))
}

impl BaseModel for LoadedModel {
    fn denoiser(&self) -> Box<dyn Denoiser<4> + Send + Sync> {
        Box::new(self.pipeline().denoiser())
    }

    fn schedule(&self) -> ddpo_core::Result<NoiseSchedule> {
        self.pipeline().scheduler.schedule().map_err(ddpo_core::Error::model)
    }

    fn encode_prompts(&self, prompts: &[String]) -> ddpo_core::Result<Condition> {
        self.encode(prompts).map_err(ddpo_core::Error::model)
    }

    fn encode_images(&self, images: &[RgbImage]) -> ddpo_core::Result<Tensor<4>> {
        Self::encode_images(self, images).map_err(ddpo_core::Error::model)
    }
}
