//! The run record: what a run is, for whoever reads its metrics.

use std::path::Path;
use std::time::SystemTime;

use ddpo_core::Judge;
use ddpo_models::DiffusionPolicy;
use ddpo_train::{
    ChainRecord, MachineRecord, ModelRecord, Parts, PromptsRecord, RewardRecord, RunRecord, TaskRecord, rfc3339,
};

use crate::config::{RunPlan, command};

use super::run_prompts::RunPrompts;

/// The record of a run of `plan` that begins now.
pub(super) fn describe(
    plan: &RunPlan,
    fingerprint: &str,
    prompts: &RunPrompts,
    parts: &Parts<DiffusionPolicy, 4>,
) -> RunRecord {
    let (config, [_, height, width, channels]) = (&plan.config, parts.shape.map(|side| side as u64));
    let held_out = parts.evaluation.iter().flat_map(|evaluation| &evaluation.held_out);
    RunRecord {
        schema: RunRecord::SCHEMA,
        program: concat!("ddpo ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: rfc3339(SystemTime::now()),
        command: command(config),
        model: ModelRecord {
            name: plan.model.to_string(),
            fingerprint: fingerprint.to_owned(),
            dtype: config.model.dtype.to_string(),
        },
        algorithm: config.train.algorithm.to_string(),
        parameters: config.train.parameters.to_string(),
        reward: optimised(plan, parts),
        tasks: tasks(plan, parts, prompts),
        held_out: held_out.map(reward).collect(),
        prompts: PromptsRecord {
            training: prompts.all().training.len() as u64,
            evaluation: evaluated(plan, parts, prompts),
            disjoint: prompts.all().disjoint,
        },
        seed: config.run.seed,
        evaluation_seed: config.eval.seed,
        epochs: config.run.epochs as u64,
        images_per_epoch: plan.samples_per_epoch as u64,
        updates_per_epoch: plan.updates_per_epoch() as u64,
        chain: ChainRecord {
            scheduler: config.sample.scheduler.to_string(),
            steps: config.sample.steps as u64,
            guidance: config.sample.guidance,
            latent: [height, width, channels],
        },
        machine: MachineRecord {
            platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            processor: processor(),
            device: plan.device.resolve().to_string(),
            threads: crate::device::threads() as u64,
        },
    }
}

/// What is optimised: a reward, or what several tasks gain in the mean.
fn optimised(plan: &RunPlan, parts: &Parts<DiffusionPolicy, 4>) -> RewardRecord {
    match plan.tasks.as_slice() {
        [] => parts.tasks.first().map(|task| reward(&task.reward)).unwrap_or_default(),
        tasks => RewardRecord {
            name: tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>().join(", "),
            unit: Some("σ".to_owned()),
        },
    }
}

fn tasks(plan: &RunPlan, parts: &Parts<DiffusionPolicy, 4>, prompts: &RunPrompts) -> Vec<TaskRecord> {
    let tasks = plan.tasks.iter().zip(&parts.tasks).zip(prompts.tasks());
    let record = |((_, task), split): ((_, &ddpo_train::Task), &crate::prompts::PromptSplit)| TaskRecord {
        name: task.name.clone(),
        reward: reward(&task.reward),
        training: split.training.len() as u64,
        evaluation: split.evaluation.len() as u64,
    };
    tasks.map(record).collect()
}

/// The prompts of an evaluation's pictures: those of tasks have their turns, as the pictures have.
fn evaluated(plan: &RunPlan, parts: &Parts<DiffusionPolicy, 4>, prompts: &RunPrompts) -> Vec<String> {
    match &parts.evaluation {
        Some(evaluation) if !plan.tasks.is_empty() => evaluation.pictured(),
        _ => prompts.all().evaluation.texts.clone(),
    }
}

fn reward(judge: &Judge) -> RewardRecord {
    RewardRecord { name: judge.name().to_owned(), unit: judge.unit().map(String::from) }
}

/// The processor's name, where Linux says it.
fn processor() -> Option<String> {
    let bytes = ddpo_train::fs::read_optional(Path::new("/proc/cpuinfo")).ok()??;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
