//! The assembly: a plan's numbers and parts as the trainers take them.

use std::sync::Arc;

use burn::tensor::Tensor;
use ddpo_core::advantage::{AdvantageByRange, BatchAdvantage, GroupAdvantage, PairAdvantage, PerPromptAdvantage};
use ddpo_core::objective::{DdpoIs, DdpoSf, DivergenceMask, EqualSteps, KlPenalised, NormalisedRatio};
use ddpo_core::{Advantage, Judge, Objective, RgbImage};
use ddpo_models::DiffusionPolicy;
use ddpo_rewards::mean_pairwise_distance;
use ddpo_rewards::recogniser::Recogniser;
use ddpo_train::{
    AdamWConfig, AsAskedMeasure, DdpoParts, DdpoPlan, DdpoTrainer, EncodedPrompts, Evaluation, Parts, Ranks,
    SamplePlan, StopRule, Task,
};

use crate::config::{
    AdvantagePlan, NonFinitePolicy, ObjectivePlan, PolicyGradientPlan, Reduction, RunPlan, StepWeights, TrustRegion,
};
use crate::error::Result;
use crate::prompts::{PromptList, PromptSplit};

use super::loaded::{LoadedModel, to_pictures};
use super::rewards::Rewards;
use super::run_prompts::RunPrompts;

/// The trainer of a policy gradient.
pub(super) fn policy_gradient(
    plan: &RunPlan,
    gradient: &PolicyGradientPlan,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<DdpoTrainer<DiffusionPolicy, 4>> {
    let advantage = advantages(plan, gradient.advantage, &shared.prompts)?;
    let objective = objective(plan, gradient.objective)?;
    Ok(DdpoTrainer::new(ddpo_plan(plan, gradient), DdpoParts { shared, objective, advantage })?)
}

/// The model, and what judges it.
pub(super) fn parts(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &RunPrompts,
    rewards: Rewards,
    ranks: Ranks,
) -> Result<Parts<DiffusionPolicy, 4>> {
    let loaded = &loaded.adapted(&plan.frozen)?.reading(plan.config.sample.prompt_syntax);
    let config = &plan.config;
    let shape = loaded.latent_shape([config.sample.height, config.sample.width])?;
    Ok(Parts {
        policy: loaded.policy(plan)?,
        scheduler: loaded.scheduler(&config.sample.sampler())?,
        tasks: tasks(plan, rewards.optimised),
        prompts: encode_prompts(plan, loaded, prompts, |split| &split.training)?,
        shape,
        device: loaded.device().clone(),
        average_decay: config.train.ema_decay,
        anchor: None,
        evaluation: evaluation(plan, loaded, prompts, rewards.held_out)?,
        decoder: Box::new(decoder(loaded.clone())),
        lanes: run_lanes(plan, loaded, shape),
        ranks,
    })
}

/// What is optimised in turns: the tasks of a plan, or one without a name.
fn tasks(plan: &RunPlan, rewards: Vec<Judge>) -> Vec<Task> {
    let task = |(number, reward): (usize, Judge)| match plan.tasks.get(number) {
        Some(task) => {
            Task { name: task.name.clone(), reward, samples_per_prompt: Some(task.advantage.samples_per_prompt()) }
        }
        None => Task::only(reward),
    };
    rewards.into_iter().enumerate().map(task).collect()
}

/// How much a run works on at once.
pub(super) fn run_lanes(plan: &RunPlan, loaded: &LoadedModel, shape: [usize; 4]) -> usize {
    lanes(loaded, plan.config.train.batch_size.max(plan.config.sample.batch_size), shape)
}

/// How much is worked on at once: a piece a core while the activations of `rows` latents are small, because barriers would cost
/// more than the memory; one piece by all cores where they are not.
pub(super) fn lanes(loaded: &LoadedModel, rows: usize, [_, height, width, _]: [usize; 4]) -> usize {
    /// Values of the first layer's output over a micro-batch, from where on barriers are a small part of the time.
    const LARGE: usize = 1 << 20;
    let channels = loaded.pipeline().unet.config().blocks.first().map_or(0, |block| block.channels);
    // Guidance doubles the rows.
    let large = rows.saturating_mul(2 * height * width * channels) > LARGE;
    if large || !crate::device::is_cpu(loaded.device()) { 1 } else { crate::device::threads() }
}

/// Pictures of latents.
fn decoder(loaded: LoadedModel) -> impl Fn(&Tensor<4>) -> ddpo_core::Result<Vec<RgbImage>> {
    move |latents| loaded.decode(latents).and_then(|values| to_pictures(&values)).map_err(ddpo_core::Error::model)
}

/// The trainer's numbers.
fn ddpo_plan(plan: &RunPlan, gradient: &PolicyGradientPlan) -> DdpoPlan {
    let train = &plan.config.train;
    DdpoPlan {
        sampling: sample_plan(plan),
        train_batch: gradient.batch,
        accumulation: gradient.accumulation,
        inner_epochs: train.inner_epochs,
        first_timestep: train.first_timestep as f64,
        timestep_fraction: train.timestep_fraction,
        train_guidance: train_guidance(plan),
        learning_rate: train.learning_rate,
        adamw: adamw(plan),
    }
}

/// How samples are made, in every algorithm.
pub(super) fn sample_plan(plan: &RunPlan) -> SamplePlan {
    let (sample, train) = (&plan.config.sample, &plan.config.train);
    SamplePlan {
        seed: plan.config.run.seed,
        sample_batch: sample.batch_size,
        batches_per_epoch: sample.batches_per_epoch,
        samples_per_prompt: plan.samples_per_prompt,
        samples_per_term: plan.samples_per_term(),
        sample_guidance: sample.guidance,
        reduction: match train.log_prob_reduction {
            Reduction::Mean => ddpo_core::Reduction::Mean,
            Reduction::Sum => ddpo_core::Reduction::Sum,
        },
        gradient_shards: train.gradient_shards,
        non_finite: match train.non_finite {
            NonFinitePolicy::Fail => ddpo_train::NonFinitePolicy::Fail,
            NonFinitePolicy::Skip => ddpo_train::NonFinitePolicy::Skip,
        },
    }
}

/// The weight of guidance in training.
pub(super) fn train_guidance(plan: &RunPlan) -> f64 {
    if plan.config.train.guidance { plan.config.sample.guidance } else { 1.0 }
}

/// The optimizer's numbers.
pub(super) fn adamw(plan: &RunPlan) -> AdamWConfig {
    let train = &plan.config.train;
    AdamWConfig {
        beta_1: train.adam_beta1,
        beta_2: train.adam_beta2,
        epsilon: train.adam_epsilon,
        weight_decay: train.weight_decay,
        max_norm: Some(train.max_grad_norm),
    }
}

fn objective(plan: &RunPlan, objective: ObjectivePlan) -> Result<Box<dyn Objective>> {
    let train = &plan.config.train;
    let (clip_range, advantage_clip) = (train.clip_range, train.advantage_clip);
    let objective: Box<dyn Objective> = match objective {
        ObjectivePlan::ImportanceSampling(region) => match region {
            TrustRegion::Clip => Box::new(DdpoIs { clip_range, advantage_clip }),
            TrustRegion::NormalisedClip => Box::new(NormalisedRatio { clip_range, advantage_clip }),
            TrustRegion::KlMask => Box::new(DivergenceMask { most: train.mask_kl, advantage_clip }),
        },
        ObjectivePlan::ScoreFunction => Box::new(DdpoSf { advantage_clip }),
        ObjectivePlan::Pairwise(pairwise) => Box::new(pairwise),
    };
    let objective = match train.step_weights {
        StepWeights::Likelihood => objective,
        StepWeights::Equal => Box::new(EqualSteps::new(objective)),
    };
    // Without a weight the base model would be asked for nothing.
    match train.kl_weight > 0.0 {
        true => Ok(Box::new(KlPenalised::new(objective, train.kl_weight)?)),
        false => Ok(objective),
    }
}

/// How rewards become advantages: in each task by itself, where there are tasks.
pub(super) fn advantages(
    plan: &RunPlan,
    of_run: AdvantagePlan,
    prompts: &EncodedPrompts,
) -> Result<Box<dyn Advantage>> {
    if plan.tasks.is_empty() {
        return advantage(of_run);
    }
    let own =
        plan.tasks.iter().enumerate().map(|(number, task)| Ok((prompts.list(number), advantage(task.advantage)?)));
    Ok(Box::new(AdvantageByRange::new(own.collect::<Result<_>>()?)?))
}

fn advantage(plan: AdvantagePlan) -> Result<Box<dyn Advantage>> {
    Ok(match plan {
        AdvantagePlan::PerPrompt { buffer_size, min_count, deviation } => {
            Box::new(PerPromptAdvantage::new(buffer_size, min_count)?.divided_by(deviation))
        }
        AdvantagePlan::Batch => Box::new(BatchAdvantage),
        AdvantagePlan::Group { size, deviation } => Box::new(GroupAdvantage::new(size)?.divided_by(deviation)),
        AdvantagePlan::Pairs { .. } => Box::new(PairAdvantage),
    })
}

/// The lists of all tasks, one behind the other.
fn encode_prompts(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &RunPrompts,
    of: fn(&PromptSplit) -> &PromptList,
) -> Result<EncodedPrompts> {
    let PromptList { texts, metadata } = of(prompts.all());
    let (conditions, negative) = loaded.encode_guided(texts, &plan.config.sample.negative_prompt)?;
    let encoded = EncodedPrompts::new(texts.clone(), conditions, negative)?.with_metadata(metadata.clone())?;
    let lengths: Vec<usize> = prompts.tasks().iter().map(|split| of(split).len()).collect();
    Ok(encoded.in_lists(&lengths)?)
}

/// What the judge that is shipped with a model says of pictures.
fn as_asked(judge: Arc<Recogniser>) -> AsAskedMeasure {
    Box::new(move |images, prompts| {
        judge.as_asked(images, prompts).map_err(|error| ddpo_core::Error::reward("as-asked", error))
    })
}

fn evaluation(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &RunPrompts,
    held_out: Vec<Judge>,
) -> Result<Option<Evaluation>> {
    let eval = &plan.config.eval;
    if eval.every == 0 {
        return Ok(None);
    }
    Ok(Some(Evaluation {
        prompts: encode_prompts(plan, loaded, prompts, |split| &split.evaluation)?,
        count: eval.count,
        batch: plan.config.sample.batch_size,
        seed: eval.seed,
        every: eval.every as u64,
        held_out,
        schedule: Some(loaded.pipeline().scheduler.schedule()?),
        diversity: Box::new(mean_pairwise_distance),
        as_asked: loaded.judge().map(as_asked),
        stop: StopRule {
            kl: eval.stop_kl,
            distance: eval.stop_distance,
            patience: eval.stop_patience.map(|patience| patience as u64),
            as_asked: eval.stop_as_asked,
            hands_back_best: plan.config.checkpoint.best,
        },
    }))
}
