//! Training: a plan's parts, joined and run.

use std::path::{Path, PathBuf};

use ddpo_models::{DiffusionPolicy, LoraFormat};
use ddpo_train::{
    Batches, Broadcast, CheckpointStore, Checkpoints, Csv, DdpoTrainer, Event, JsonLines, Learner, Outcome, Record,
    Run, RwrTrainer, Snapshot, StopFlag, TensorBoard,
};

use crate::config::{AdapterFormat, RunPlan};
use crate::error::Result;
use crate::prompts::PromptSplit;

use super::assembly::{parts, policy_gradient};
use super::description::describe;
use super::directory::{Product, RunDirectory};
use super::grids::SampleGrids;
use super::identity::identity;
use super::loaded::LoadedModel;

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
    loaded: LoadedModel,
    prompts: &PromptSplit,
    directory: &RunDirectory,
    trackers: Broadcast,
    stop: StopFlag,
) -> Result<TrainOutcome> {
    let path = directory.path();
    let fingerprint = plan.model.fingerprint()?;
    let identity = identity(
        &plan.config,
        directory.config(),
        &fingerprint,
        super::stack::fingerprint(&plan.frozen)?,
        &prompts.training,
    )?;
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
        loaded: &loaded,
        path,
        format: lora_format(plan),
        snapshot,
        checkpoints,
    };
    let shared = parts(plan, &loaded, prompts)?;
    if job.snapshot.is_none() {
        let run = describe(plan, &fingerprint, prompts, &shared);
        trackers.record(&Event::Record(&Record::Run(Box::new(run))));
    }
    match &plan.regression {
        None => job.run(policy_gradient(plan, shared)?, &mut trackers, stop),
        Some(regression) => job.run(super::rwr::trainer(plan, regression, &loaded, shared)?, &mut trackers, stop),
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
    loaded: &'a LoadedModel,
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
            self.loaded.save_with(policy, &directory)?;
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
