//! Training: a plan's parts, joined and run.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use ddpo_core::advantage::{BatchAdvantage, GroupAdvantage, PerPromptAdvantage};
use ddpo_core::objective::{DdpoIs, DdpoSf};
use ddpo_core::{Advantage, Objective, Reward, RgbImage};
use ddpo_models::{DiffusionPolicy, LoraFormat};
use ddpo_rewards::Weighted;
use ddpo_train::{
    AdamWConfig, Broadcast, CheckpointStore, Checkpoints, Csv, DdpoParts, DdpoPlan, DdpoTrainer, Evaluation, Event,
    JsonLines, Outcome, PromptBook, Run, Snapshot, StopFlag, TensorBoard, mean_pairwise_distance,
};

use crate::config::{AdapterFormat, AdvantagePlan, Algorithm, Reduction, RunPlan};
use crate::error::Result;
use crate::prompts::PromptSplit;

use super::directory::{Product, RunDirectory};
use super::grids::SampleGrids;
use super::identity::identity;
use super::studio::{Studio, to_pictures};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrainOutcome {
    /// All epochs are done.
    Finished {
        /// What it made.
        product: Product,
        /// The report.
        report: PathBuf,
    },
    /// It was stopped, and can be resumed.
    Interrupted {
        /// Epochs done.
        epochs_done: u64,
    },
}

/// Runs `plan` in `directory`, or goes on with what is there. `trackers` hear of everything.
///
/// # Errors
///
/// Whatever ends a run early; its last whole epoch is then in a checkpoint.
pub fn train(
    plan: &RunPlan,
    studio: Studio,
    prompts: &PromptSplit,
    directory: &RunDirectory,
    trackers: Broadcast,
    stop: StopFlag,
) -> Result<TrainOutcome> {
    let path = directory.path();
    let identity = identity(&plan.config, directory.config(), &plan.model.fingerprint()?, &prompts.training)?;
    let store = CheckpointStore::new(path.join("checkpoints"), kept(plan));
    let found = if directory.is_resumed() { store.newest()? } else { Default::default() };
    if let Some(checkpoint) = &found.checkpoint {
        identity.accepts(&checkpoint.identity)?;
    }
    directory.write_config()?;
    let snapshot = found.checkpoint.map(|checkpoint| checkpoint.snapshot);
    let mut trackers = file_trackers(plan, path, snapshot.as_ref(), trackers)?;
    found.damaged.iter().for_each(|damage| trackers.record(&Event::Warning(damage)));
    let mut trainer = trainer(plan, &studio, prompts)?;
    let checkpoints = Checkpoints { store, identity, every: plan.config.checkpoint.every as u64 };
    let mut run = Run::new(&mut trainer, &mut trackers, stop).with_checkpoints(checkpoints);
    if let Some(snapshot) = &snapshot {
        run = run.resumed_from(snapshot)?;
    }
    match run.run(plan.config.run.epochs as u64)? {
        Outcome::Interrupted { epochs_done } => Ok(TrainOutcome::Interrupted { epochs_done }),
        Outcome::Finished => finish(plan, &studio, trainer.policy(), path),
    }
}

/// Writes the product and the report.
fn finish(plan: &RunPlan, studio: &Studio, policy: &DiffusionPolicy, path: &Path) -> Result<TrainOutcome> {
    let product = match policy.adapter() {
        Some(adapter) => {
            let file = path.join(RunDirectory::LORA);
            adapter.save(&file, lora_format(plan))?;
            Product::Adapter(file)
        }
        None => {
            let directory = path.join(RunDirectory::MODEL);
            studio.save_with(policy, &directory)?;
            Product::Model(directory)
        }
    };
    let report = crate::report::write_report(path)?;
    Ok(TrainOutcome::Finished { product, report })
}

fn lora_format(plan: &RunPlan) -> LoraFormat {
    match plan.config.lora.format {
        AdapterFormat::Diffusers => LoraFormat::Diffusers,
        AdapterFormat::Kohya => LoraFormat::Kohya,
    }
}

/// 0 keeps all.
fn kept(plan: &RunPlan) -> usize {
    if plan.config.checkpoint.keep == 0 { usize::MAX } else { plan.config.checkpoint.keep }
}

/// Adds the trackers that write files, which go on where the snapshot was.
fn file_trackers(plan: &RunPlan, path: &Path, snapshot: Option<&Snapshot>, trackers: Broadcast) -> Result<Broadcast> {
    let length = |name: &str| snapshot.map(|snapshot| snapshot.length(name));
    let jsonl = match length(JsonLines::NAME) {
        Some(length) => JsonLines::resume(path, length)?,
        None => JsonLines::create(path)?,
    };
    let mut trackers = trackers.with(jsonl).with(SampleGrids::new(path));
    if plan.config.track.csv {
        trackers = trackers.with(match length(Csv::NAME) {
            Some(length) => Csv::resume(path, length)?,
            None => Csv::create(path)?,
        });
    }
    if plan.config.track.tensorboard {
        trackers = trackers.with(match length(TensorBoard::NAME) {
            Some(length) => TensorBoard::resume(path, length)?,
            None => TensorBoard::create(path)?,
        });
    }
    Ok(trackers)
}

fn trainer(plan: &RunPlan, studio: &Studio, prompts: &PromptSplit) -> Result<DdpoTrainer<DiffusionPolicy, 4>> {
    let config = &plan.config;
    let size = [config.sample.height, config.sample.width];
    let parts = DdpoParts {
        policy: studio.policy(plan)?,
        scheduler: studio.scheduler(config.sample.scheduler, config.sample.steps, config.sample.eta)?,
        reward: reward(plan)?,
        objective: objective(plan),
        advantage: advantage(plan)?,
        prompts: book(plan, studio, &prompts.training)?,
        shape: studio.latent_shape(size)?,
        device: studio.device().clone(),
        evaluation: evaluation(plan, studio, &prompts.evaluation)?,
        decoder: Box::new(decoder(studio.clone())),
    };
    Ok(DdpoTrainer::new(numbers(plan), parts)?)
}

/// Pictures of latents.
fn decoder(studio: Studio) -> impl Fn(&Tensor<4>) -> ddpo_core::Result<Vec<RgbImage>> {
    move |latents| studio.decode(latents).and_then(|values| to_pictures(&values)).map_err(ddpo_core::Error::model)
}

/// The trainer's numbers.
fn numbers(plan: &RunPlan) -> DdpoPlan {
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
    }
}

fn reward(plan: &RunPlan) -> Result<Box<dyn Reward>> {
    match plan.reward.as_slice() {
        [term] if term.weight == 1.0 => term.reward.open(),
        terms => {
            let terms: Result<Vec<_>> =
                terms.iter().map(|term| Ok((term.reward.open()?, term.weight as f32))).collect();
            Ok(Box::new(Weighted::new(terms?)?))
        }
    }
}

fn objective(plan: &RunPlan) -> Box<dyn Objective> {
    let train = &plan.config.train;
    match train.algorithm {
        Algorithm::DdpoSf => Box::new(DdpoSf { advantage_clip: train.advantage_clip }),
        // The plan has refused the algorithms that are not built.
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

fn book(plan: &RunPlan, studio: &Studio, prompts: &[String]) -> Result<PromptBook> {
    let negative = studio.encode(std::slice::from_ref(&plan.config.sample.negative_prompt))?;
    Ok(PromptBook::new(prompts.to_vec(), studio.encode(prompts)?, negative)?)
}

fn evaluation(plan: &RunPlan, studio: &Studio, prompts: &[String]) -> Result<Option<Evaluation>> {
    let eval = &plan.config.eval;
    if eval.every == 0 {
        return Ok(None);
    }
    Ok(Some(Evaluation {
        prompts: book(plan, studio, prompts)?,
        count: eval.count,
        batch: plan.config.sample.batch_size,
        seed: eval.seed,
        every: eval.every as u64,
        held_out: plan.held_out.iter().map(|name| name.open()).collect::<Result<_>>()?,
        diversity: Box::new(mean_pairwise_distance),
    }))
}
