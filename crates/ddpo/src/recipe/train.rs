//! Training: a plan's parts, joined and run.

use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use ddpo_core::advantage::{BatchAdvantage, GroupAdvantage, PerPromptAdvantage};
use ddpo_core::objective::{DdpoIs, DdpoSf};
use ddpo_core::{Advantage, Objective, RgbImage};
use ddpo_models::{DiffusionPolicy, LoraFormat};
use ddpo_train::{
    AdamWConfig, Batches, Broadcast, CheckpointStore, Checkpoints, Csv, DdpoParts, DdpoPlan, DdpoTrainer, Evaluation,
    Event, JsonLines, Learner, Outcome, Parts, PromptBook, Run, RwrTrainer, Snapshot, StopFlag, StopRule, TensorBoard,
    mean_pairwise_distance,
};

use crate::config::{AdapterFormat, AdvantagePlan, Algorithm, NonFinite, Reduction, RunPlan};
use crate::device::DeviceName;
use crate::error::Result;
use crate::prompts::PromptSplit;

use super::directory::{Product, RunDirectory};
use super::grids::SampleGrids;
use super::identity::identity;
use super::judges::Judges;
use super::studio::{Studio, to_pictures};

/// Where checkpoints are in a run directory.
const CHECKPOINTS: &str = "checkpoints";

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
    let store = CheckpointStore::new(path.join(CHECKPOINTS), kept(plan));
    let found = if directory.is_resumed() { store.newest()? } else { Default::default() };
    if let Some(checkpoint) = &found.checkpoint {
        identity.accepts(&checkpoint.identity)?;
    }
    directory.write_config()?;
    let snapshot = found.checkpoint.map(|checkpoint| checkpoint.snapshot);
    let mut trackers = file_trackers(plan, path, snapshot.as_ref(), trackers)?;
    found.damaged.iter().for_each(|damage| trackers.record(&Event::Warning(damage)));
    if directory.is_resumed() && snapshot.is_none() {
        trackers.record(&Event::Warning(&ddpo_train::Error::NoCheckpoint { path: path.join(CHECKPOINTS) }));
    }
    let (every, keep_best) = (plan.config.checkpoint.every as u64, plan.config.checkpoint.best);
    let checkpoints = Checkpoints { store, identity, every, keep_best };
    let job = Job {
        epochs: plan.config.run.epochs as u64,
        studio: &studio,
        path,
        format: lora_format(plan),
        snapshot,
        checkpoints,
    };
    let shared = parts(plan, &studio, prompts)?;
    match &plan.regression {
        None => job.run(policy_gradient(plan, shared)?, &mut trackers, stop),
        Some(regression) => job.run(super::rwr::trainer(plan, regression, &studio, shared)?, &mut trackers, stop),
    }
}

/// A trainer whose policy becomes the product.
trait Trained: Learner {
    fn policy(&self) -> &DiffusionPolicy;
}

impl Trained for DdpoTrainer<DiffusionPolicy, 4> {
    fn policy(&self) -> &DiffusionPolicy {
        self.policy()
    }
}

impl Trained for RwrTrainer<DiffusionPolicy, 4> {
    fn policy(&self) -> &DiffusionPolicy {
        self.policy()
    }
}

/// What is to be done with a trainer, whatever its algorithm.
struct Job<'a> {
    epochs: u64,
    studio: &'a Studio,
    path: &'a Path,
    format: LoraFormat,
    snapshot: Option<Snapshot>,
    checkpoints: Checkpoints,
}

impl Job<'_> {
    /// Runs a fresh trainer to the end, from the snapshot where there is one, and writes what it made.
    fn run(&self, mut trainer: impl Trained, trackers: &mut Broadcast, stop: StopFlag) -> Result<TrainOutcome> {
        let store = self.checkpoints.store.clone();
        let mut run = Run::new(&mut trainer, trackers, stop).with_checkpoints(self.checkpoints.clone());
        if let Some(snapshot) = &self.snapshot {
            run = run.resumed_from(snapshot)?;
        }
        if let Outcome::Interrupted { epochs_done } = run.run(self.epochs)? {
            return Ok(TrainOutcome::Interrupted { epochs_done });
        }
        let product = self.write_product(trainer.policy(), self.path)?;
        if let Some(best) = store.best()? {
            trainer.restore(&best.snapshot)?;
            self.write_product(trainer.policy(), &self.path.join(RunDirectory::BEST))?;
        }
        let report = crate::report::write_report(self.path)?;
        Ok(TrainOutcome::Finished { product, report })
    }

    /// Writes what a policy has become into a directory.
    fn write_product(&self, policy: &DiffusionPolicy, path: &Path) -> Result<Product> {
        ddpo_train::fs::create_directory(path)?;
        let Some(adapter) = policy.adapter() else {
            let directory = path.join(RunDirectory::MODEL);
            self.studio.save_with(policy, &directory)?;
            return Ok(Product::Model(directory));
        };
        let file = path.join(RunDirectory::LORA);
        adapter.save(&file, self.format)?;
        Ok(Product::Adapter(file))
    }
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
    let mut trackers = trackers.with(jsonl).with(SampleGrids::new(path)).with(Batches::new(path));
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

fn policy_gradient(plan: &RunPlan, shared: Parts<DiffusionPolicy, 4>) -> Result<DdpoTrainer<DiffusionPolicy, 4>> {
    let parts = DdpoParts { shared, objective: objective(plan), advantage: advantage(plan)? };
    Ok(DdpoTrainer::new(numbers(plan), parts)?)
}

/// The model, and what judges it.
fn parts(plan: &RunPlan, studio: &Studio, prompts: &PromptSplit) -> Result<Parts<DiffusionPolicy, 4>> {
    let config = &plan.config;
    let shape = studio.latent_shape([config.sample.height, config.sample.width])?;
    let judges = Judges::new(studio, plan, prompts);
    Ok(Parts {
        policy: studio.policy(plan)?,
        scheduler: studio.scheduler(config.sample.scheduler, config.sample.steps, config.sample.eta)?,
        reward: judges.optimised(&plan.reward)?,
        prompts: book(plan, studio, &prompts.training)?,
        shape,
        device: studio.device().clone(),
        evaluation: evaluation(plan, studio, &prompts.evaluation, &judges)?,
        decoder: Box::new(decoder(studio.clone())),
        lanes: lanes(plan, studio, shape),
    })
}

/// How much is worked on at once: a piece a core while the activations of a micro-batch are small, because barriers would cost
/// more than the memory; one piece by all cores where they are not.
fn lanes(plan: &RunPlan, studio: &Studio, [_, height, width, _]: [usize; 4]) -> usize {
    /// Values of the first layer's output over a micro-batch, from where on barriers are a small part of the time.
    const LARGE: usize = 1 << 20;
    let channels = studio.pipeline().unet.config().blocks.first().map_or(0, |block| block.channels);
    let rows = 2 * plan.config.train.batch_size.max(plan.config.sample.batch_size);
    let large = rows * height * width * channels > LARGE;
    if large || plan.device != DeviceName::Cpu { 1 } else { crate::device::threads() }
}

/// Pictures of latents.
fn decoder(studio: Studio) -> impl Fn(&Tensor<4>) -> ddpo_core::Result<Vec<RgbImage>> {
    move |latents| studio.decode(latents).and_then(|values| to_pictures(&values)).map_err(ddpo_core::Error::model)
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
            NonFinite::Fail => ddpo_train::NonFinite::Fail,
            NonFinite::Skip => ddpo_train::NonFinite::Skip,
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

fn book(plan: &RunPlan, studio: &Studio, prompts: &[String]) -> Result<PromptBook> {
    let negative = studio.encode(std::slice::from_ref(&plan.config.sample.negative_prompt))?;
    Ok(PromptBook::new(prompts.to_vec(), studio.encode(prompts)?, negative)?)
}

fn evaluation(plan: &RunPlan, studio: &Studio, prompts: &[String], judges: &Judges<'_>) -> Result<Option<Evaluation>> {
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
        held_out: plan.held_out.iter().map(|name| judges.open(name)).collect::<Result<_>>()?,
        diversity: Box::new(mean_pairwise_distance),
        stop: StopRule { kl: eval.stop_kl, patience: eval.stop_patience.map(|patience| patience as u64) },
    }))
}
