//! Distillation: what its trainer has besides the parts of all runs.

use ddpo_core::schedule::Spacing;
use ddpo_models::DiffusionPolicy;
use ddpo_train::{DistillParts, DistillPlan, DistillTrainer, Parts};

use crate::config::{DistillationPlan, RunPlan, SamplerPlan, SchedulerKind, SpacingKind};
use crate::error::Result;

use super::assembly::{adamw, sample_plan};
use super::loaded::LoadedModel;

/// The trainer of a plan.
pub(super) fn trainer(
    plan: &RunPlan,
    distillation: &DistillationPlan,
    loaded: &LoadedModel,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<DistillTrainer<DiffusionPolicy, 4>> {
    let schedule = loaded.pipeline().scheduler.schedule()?;
    // From pure noise down to clean data, wherever the few-step model will begin.
    let grid = schedule.timesteps(Spacing::Trailing, plan.config.distill.grid)?;
    let teacher = loaded.scheduler(&teacher(plan))?;
    let parts = DistillParts { shared, schedule, teacher };
    Ok(DistillTrainer::new(distill_plan(plan, distillation, grid), parts)?)
}

/// How the teacher draws its pictures: as the model is sampled unless told otherwise.
fn teacher(plan: &RunPlan) -> SamplerPlan {
    SamplerPlan {
        scheduler: SchedulerKind::Ddim,
        steps: plan.config.distill.teacher_steps,
        spacing: SpacingKind::Model,
        eta: 1.0,
        eta_by_step: None,
    }
}

fn distill_plan(plan: &RunPlan, distillation: &DistillationPlan, grid: Vec<usize>) -> DistillPlan {
    let (train, distill) = (&plan.config.train, &plan.config.distill);
    DistillPlan {
        sampling: sample_plan(plan),
        train_batch: distillation.batch,
        accumulation: distillation.accumulation,
        inner_epochs: train.inner_epochs,
        grid,
        teacher_guidance: distill.guidance,
        target_decay: distill.target_decay,
        objective: distillation.objective,
        learning_rate: train.learning_rate,
        adamw: adamw(plan),
    }
}
