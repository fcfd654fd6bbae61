//! The run record: what a run is, for whoever reads its metrics.

use std::path::Path;
use std::time::SystemTime;

use ddpo_core::Judge;
use ddpo_models::DiffusionPolicy;
use ddpo_train::{ChainRecord, MachineRecord, ModelRecord, Parts, PromptsRecord, RewardRecord, RunRecord, rfc3339};

use crate::config::{RunPlan, command};
use crate::prompts::PromptSplit;

/// The record of a run of `plan` that begins now.
pub(super) fn describe(
    plan: &RunPlan,
    fingerprint: &str,
    prompts: &PromptSplit,
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
        reward: reward(&parts.reward),
        held_out: held_out.map(reward).collect(),
        prompts: PromptsRecord {
            training: prompts.training.len() as u64,
            evaluation: prompts.evaluation.texts.clone(),
            disjoint: prompts.disjoint,
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
