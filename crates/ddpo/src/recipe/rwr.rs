//! Reward-weighted regression: what its trainer has besides the parts of all runs.

use ddpo_core::weighting::{SoftmaxWeights, SparseWeights};
use ddpo_core::{Grouping, RgbImage, Weighting};
use ddpo_models::DiffusionPolicy;
use ddpo_train::{Parts, RwrParts, RwrPlan, RwrTrainer};

use crate::config::{RegressionPlan, RunPlan, WeightPlan};
use crate::error::Result;

use super::assembly::{adamw, sample_plan, train_guidance};
use super::loaded::LoadedModel;

/// The trainer of a plan.
pub(super) fn trainer(
    plan: &RunPlan,
    regression: &RegressionPlan,
    loaded: &LoadedModel,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<RwrTrainer<DiffusionPolicy, 4>> {
    let encoder = loaded.clone();
    let parts = RwrParts {
        shared,
        encoder: Box::new(move |images: &[RgbImage]| encoder.encode_images(images).map_err(ddpo_core::Error::model)),
        schedule: loaded.pipeline().scheduler.schedule()?,
        weighting: weighting(regression.weights)?,
    };
    Ok(RwrTrainer::new(rwr_plan(plan, regression), parts)?)
}

fn rwr_plan(plan: &RunPlan, regression: &RegressionPlan) -> RwrPlan {
    RwrPlan {
        sampling: sample_plan(plan),
        updates_per_round: regression.updates_per_round,
        train_batch: regression.batch,
        accumulation: regression.passes,
        train_guidance: train_guidance(plan),
        learning_rate: plan.config.train.learning_rate,
        adamw: adamw(plan),
    }
}

fn weighting(plan: WeightPlan) -> Result<Box<dyn Weighting>> {
    let scope = |per_prompt| if per_prompt { Grouping::Prompt } else { Grouping::Epoch };
    Ok(match plan {
        WeightPlan::Softmax { beta, per_prompt } => Box::new(SoftmaxWeights::new(beta, scope(per_prompt))?),
        WeightPlan::Sparse { percentile, per_prompt, buffer_size, min_count } => {
            Box::new(SparseWeights::new(percentile, scope(per_prompt), buffer_size, min_count)?)
        }
    })
}
