//! The forward process: what its trainer has besides the parts of all runs.

use ddpo_models::DiffusionPolicy;
use ddpo_train::{ForwardParts, ForwardPlan, ForwardTrainer, Parts};

use crate::config::{ForwardProcessPlan, RunPlan};
use crate::error::Result;

use super::assembly::{adamw, advantages, sample_plan};
use super::loaded::LoadedModel;

/// The trainer of a plan.
pub(super) fn trainer(
    plan: &RunPlan,
    forward: &ForwardProcessPlan,
    loaded: &LoadedModel,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<ForwardTrainer<DiffusionPolicy, 4>> {
    let schedule = loaded.pipeline().scheduler.schedule()?;
    let advantage = advantages(plan, forward.advantage, &shared.prompts)?;
    let parts = ForwardParts { shared, schedule, advantage };
    Ok(ForwardTrainer::new(forward_plan(plan, forward), parts)?)
}

fn forward_plan(plan: &RunPlan, forward: &ForwardProcessPlan) -> ForwardPlan {
    let (config, train) = (&plan.config, &plan.config.train);
    ForwardPlan {
        sampling: sample_plan(plan),
        train_batch: forward.batch,
        accumulation: forward.accumulation,
        inner_epochs: train.inner_epochs,
        noisings: forward.noisings,
        first_timestep: train.first_timestep,
        density: forward.density,
        target: forward.target,
        advantage_clip: train.advantage_clip,
        old_policy: forward.old_policy,
        train_guidance: if config.forward.guidance { config.sample.guidance } else { 1.0 },
        learning_rate: train.learning_rate,
        adamw: adamw(plan),
    }
}
