//! The assembly: a plan's numbers and parts as the trainers take them.

use burn::tensor::Tensor;
use ddpo_core::advantage::{BatchAdvantage, GroupAdvantage, PerPromptAdvantage};
use ddpo_core::objective::{DdpoIs, DdpoSf};
use ddpo_core::{Advantage, Judge, Objective, RgbImage};
use ddpo_models::DiffusionPolicy;
use ddpo_rewards::mean_pairwise_distance;
use ddpo_train::{AdamWConfig, DdpoParts, DdpoPlan, DdpoTrainer, EncodedPrompts, Evaluation, Parts, StopRule};

use crate::config::{AdvantagePlan, Algorithm, NonFinitePolicy, Reduction, RunPlan};
use crate::device::DeviceName;
use crate::error::Result;
use crate::prompts::PromptSplit;

use super::loaded::{LoadedModel, to_pictures};
use super::rewards::Rewards;

/// The trainer of a policy gradient.
pub(super) fn policy_gradient(
    plan: &RunPlan,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<DdpoTrainer<DiffusionPolicy, 4>> {
    let parts = DdpoParts { shared, objective: objective(plan), advantage: advantage(plan)? };
    Ok(DdpoTrainer::new(numbers(plan), parts)?)
}

/// The model, and what judges it.
pub(super) fn parts(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &PromptSplit,
    rewards: Rewards,
) -> Result<Parts<DiffusionPolicy, 4>> {
    let config = &plan.config;
    let shape = loaded.latent_shape([config.sample.height, config.sample.width])?;
    Ok(Parts {
        policy: loaded.policy(plan)?,
        scheduler: loaded.scheduler(config.sample.scheduler, config.sample.steps, config.sample.eta)?,
        reward: rewards.optimised,
        prompts: encode_prompts(plan, loaded, &prompts.training)?,
        shape,
        device: loaded.device().clone(),
        evaluation: evaluation(plan, loaded, &prompts.evaluation, rewards.held_out)?,
        decoder: Box::new(decoder(loaded.clone())),
        lanes: lanes(plan, loaded, shape),
    })
}

/// How much is worked on at once: a piece a core while the activations of a micro-batch are small, because barriers would cost
/// more than the memory; one piece by all cores where they are not.
pub(super) fn lanes(plan: &RunPlan, loaded: &LoadedModel, [_, height, width, _]: [usize; 4]) -> usize {
    /// Values of the first layer's output over a micro-batch, from where on barriers are a small part of the time.
    const LARGE: usize = 1 << 20;
    let channels = loaded.pipeline().unet.config().blocks.first().map_or(0, |block| block.channels);
    let rows = 2 * plan.config.train.batch_size.max(plan.config.sample.batch_size);
    let large = rows * height * width * channels > LARGE;
    if large || plan.device != DeviceName::Cpu { 1 } else { crate::device::threads() }
}

/// Pictures of latents.
fn decoder(loaded: LoadedModel) -> impl Fn(&Tensor<4>) -> ddpo_core::Result<Vec<RgbImage>> {
    move |latents| loaded.decode(latents).and_then(|values| to_pictures(&values)).map_err(ddpo_core::Error::model)
}

/// The trainer's numbers.
pub(super) fn numbers(plan: &RunPlan) -> DdpoPlan {
    let (sample, train) = (&plan.config.sample, &plan.config.train);
    DdpoPlan {
        seed: plan.config.run.seed,
        sample_batch: sample.batch_size,
        batches_per_epoch: sample.batches_per_epoch,
        samples_per_prompt: match plan.advantage {
            AdvantagePlan::Group { size } => size,
            _ => 1,
        },
        sample_guidance: sample.guidance,
        train_batch: train.batch_size,
        timesteps_per_forward: 1,
        accumulation: plan.accumulation,
        inner_epochs: train.inner_epochs,
        first_timestep: train.first_timestep as f64,
        timestep_fraction: train.timestep_fraction,
        train_guidance: if train.guidance { sample.guidance } else { 1.0 },
        learning_rate: train.learning_rate,
        adamw: AdamWConfig {
            beta_1: train.adam_beta1,
            beta_2: train.adam_beta2,
            epsilon: train.adam_epsilon,
            weight_decay: train.weight_decay,
            max_norm: Some(train.max_grad_norm),
        },
        reduction: match train.log_prob_reduction {
            Reduction::Mean => ddpo_core::Reduction::Mean,
            Reduction::Sum => ddpo_core::Reduction::Sum,
        },
        kl_weight: train.kl_weight,
        non_finite: match train.non_finite {
            NonFinitePolicy::Fail => ddpo_train::NonFinitePolicy::Fail,
            NonFinitePolicy::Skip => ddpo_train::NonFinitePolicy::Skip,
        },
    }
}

fn objective(plan: &RunPlan) -> Box<dyn Objective> {
    let train = &plan.config.train;
    match train.algorithm {
        Algorithm::DdpoSf => Box::new(DdpoSf { advantage_clip: train.advantage_clip }),
        // A plan of a regression has another trainer.
        _ => Box::new(DdpoIs { clip_range: train.clip_range, advantage_clip: train.advantage_clip }),
    }
}

fn advantage(plan: &RunPlan) -> Result<Box<dyn Advantage>> {
    Ok(match plan.advantage {
        AdvantagePlan::PerPrompt { buffer_size, min_count } => {
            Box::new(PerPromptAdvantage::new(buffer_size, min_count)?)
        }
        AdvantagePlan::Batch => Box::new(BatchAdvantage),
        AdvantagePlan::Group { size } => Box::new(GroupAdvantage::new(size)?),
    })
}

fn encode_prompts(plan: &RunPlan, loaded: &LoadedModel, prompts: &[String]) -> Result<EncodedPrompts> {
    let negative = loaded.encode_negative(&plan.config.sample.negative_prompt)?;
    Ok(EncodedPrompts::new(prompts.to_vec(), loaded.encode(prompts)?, negative)?)
}

fn evaluation(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &[String],
    held_out: Vec<Judge>,
) -> Result<Option<Evaluation>> {
    let eval = &plan.config.eval;
    if eval.every == 0 {
        return Ok(None);
    }
    Ok(Some(Evaluation {
        prompts: encode_prompts(plan, loaded, prompts)?,
        count: eval.count,
        batch: plan.config.sample.batch_size,
        seed: eval.seed,
        every: eval.every as u64,
        held_out,
        diversity: Box::new(mean_pairwise_distance),
        stop: StopRule { kl: eval.stop_kl, patience: eval.stop_patience.map(|patience| patience as u64) },
    }))
}
