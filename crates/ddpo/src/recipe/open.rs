//! Opening a run: its trainer, and the directory in which it goes on from where it was.

use std::path::Path;
use std::sync::Arc;

use ddpo_models::DiffusionPolicy;
use ddpo_train::{
    Answers, Batches, Broadcast, CheckpointStore, Checkpoints, Csv, DdpoTrainer, DistillTrainer, Event, ForwardTrainer,
    JsonLines, Learner, PreferenceTrainer, Ranks, Record, Run, RunRecord, RwrTrainer, Snapshot, StopFlag, TensorBoard,
};

use crate::config::{AlgorithmPlan, RunPlan};
use crate::error::Result;

use super::anchor::anchor;
use super::assembly::{parts, policy_gradient};
use super::description::describe;
use super::directory::RunDirectory;
use super::grids::SampleGrids;
use super::identity::{fingerprints, identity};
use super::loaded::LoadedModel;
use super::rewards::Rewards;
use super::run_prompts::RunPrompts;

/// Where checkpoints are in a run directory.
const CHECKPOINTS: &str = "checkpoints";

/// A trainer whose policy, or its average, becomes the product.
pub(super) trait Trained: Learner {
    /// What it hands back now.
    fn product(&self) -> &DiffusionPolicy;
}

impl Trained for DdpoTrainer<DiffusionPolicy, 4> {
    fn product(&self) -> &DiffusionPolicy {
        self.product()
    }
}

impl Trained for RwrTrainer<DiffusionPolicy, 4> {
    fn product(&self) -> &DiffusionPolicy {
        self.product()
    }
}

impl Trained for ForwardTrainer<DiffusionPolicy, 4> {
    fn product(&self) -> &DiffusionPolicy {
        self.product()
    }
}

impl Trained for DistillTrainer<DiffusionPolicy, 4> {
    fn product(&self) -> &DiffusionPolicy {
        self.product()
    }
}

impl Trained for PreferenceTrainer<DiffusionPolicy, 4> {
    fn product(&self) -> &DiffusionPolicy {
        self.product()
    }
}

/// A trainer which has done nothing yet, and what it is.
pub(super) struct Prepared {
    trainer: Box<dyn Trained>,
    record: RunRecord,
}

/// The trainer of a plan. There is no directory yet.
pub(super) fn prepare(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &RunPrompts,
    rewards: Rewards,
    ranks: Ranks,
    stop: &StopFlag,
) -> Result<Prepared> {
    let mut shared = parts(plan, loaded, prompts, rewards, ranks)?;
    shared.anchor = anchor(plan, loaded, &prompts.trained(), stop)?.map(Arc::new);
    let record = describe(plan, &plan.model.fingerprint()?, prompts, &shared);
    let trainer: Box<dyn Trained> = match &plan.algorithm {
        AlgorithmPlan::PolicyGradient(gradient) => Box::new(policy_gradient(plan, gradient, shared)?),
        AlgorithmPlan::Regression(regression) => Box::new(super::rwr::trainer(plan, regression, loaded, shared)?),
        AlgorithmPlan::Forward(forward) => Box::new(super::forward::trainer(plan, forward, loaded, shared)?),
        AlgorithmPlan::Distillation(distillation) => {
            Box::new(super::distill::trainer(plan, distillation, loaded, shared)?)
        }
        AlgorithmPlan::Preference(given) => Box::new(super::preference::trainer(plan, given, loaded, shared)?),
    };
    Ok(Prepared { trainer, record })
}

/// A run with its checkpoints.
pub(super) struct OpenRun {
    /// The run, at its start or at its last checkpoint.
    pub run: Run<Box<dyn Trained>>,
    /// Where its checkpoints are, on the rank that writes them.
    pub store: Option<CheckpointStore>,
}

/// The run of a fresh trainer in a directory, from the last checkpoint where there is one.
pub(super) fn open(
    plan: &RunPlan,
    prompts: &RunPrompts,
    directory: &RunDirectory,
    Prepared { trainer, record }: Prepared,
    (trackers, stop, ranks): (Broadcast, StopFlag, Ranks),
) -> Result<OpenRun> {
    let path = directory.path();
    let files = fingerprints(plan)?;
    let identity = identity(plan, directory.config(), &record.model.fingerprint, files, prompts)?;
    let store = CheckpointStore::new(path.join(CHECKPOINTS), kept(plan));
    let found = if directory.is_resumed() { store.newest()? } else { Default::default() };
    if let Some(checkpoint) = &found.checkpoint {
        identity.accepts(&checkpoint.identity)?;
    }
    directory.write_config()?;
    let snapshot = found.checkpoint.map(|checkpoint| checkpoint.snapshot);
    ranks.share_snapshot(snapshot.as_ref())?;
    let mut trackers = file_trackers(plan, path, snapshot.as_ref(), trackers)?;
    found.damaged.iter().for_each(|damage| trackers.record(&Event::Warning(damage)));
    if directory.is_resumed() && snapshot.is_none() {
        trackers.record(&Event::Warning(&ddpo_train::Error::NoCheckpoint { path: path.join(CHECKPOINTS) }));
    }
    if snapshot.is_none() {
        trackers.record(&Event::Record(&Record::Run(Box::new(record))));
    }
    let (every, keep_best) = (plan.config.checkpoint.every as u64, plan.config.checkpoint.best);
    let checkpoints = Checkpoints { store: store.clone(), identity, every, keep_best };
    let run = Run::new(trainer, trackers, stop).with_checkpoints(checkpoints).with_ranks(ranks);
    let run = match &snapshot {
        None => run,
        Some(snapshot) => run.resumed_from(snapshot)?,
    };
    Ok(OpenRun { run, store: Some(store) })
}

/// The run of a fresh trainer as a rank that writes nothing, from where the first rank begins.
pub(super) fn follow(
    Prepared { trainer, .. }: Prepared,
    (trackers, stop, ranks): (Broadcast, StopFlag, Ranks),
) -> Result<OpenRun> {
    let snapshot = ranks.share_snapshot(None)?;
    let run = Run::new(trainer, trackers, stop).with_ranks(ranks);
    let run = match &snapshot {
        None => run,
        Some(snapshot) => run.resumed_from(snapshot)?,
    };
    Ok(OpenRun { run, store: None })
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
    let grids = match snapshot {
        Some(snapshot) => SampleGrids::resume(path, snapshot.counter("evaluated"))?,
        None => SampleGrids::new(path),
    };
    let answers = match length(Answers::NAME) {
        Some(length) => Answers::resume(path, length)?,
        None => Answers::new(path),
    };
    let mut trackers = trackers.with(jsonl).with(answers).with(grids).with(Batches::new(path));
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
