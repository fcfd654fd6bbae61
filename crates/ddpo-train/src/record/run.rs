//! What a run is, for whoever reads its metrics without its directory.

use serde::{Deserialize, Serialize};

use super::number::number;

/// The first line of `metrics.jsonl`. A run that is resumed keeps the line it began with.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RunRecord {
    /// The schema of the file, [`SCHEMA`](Self::SCHEMA) in this version. A field more is no new schema; another meaning is.
    pub schema: u64,
    /// The program and its version.
    pub program: String,
    /// When it began, in UTC (RFC 3339).
    pub started: String,
    /// The command that repeats it.
    pub command: String,
    /// The model that is fine-tuned.
    pub model: ModelRecord,
    /// The algorithm.
    pub algorithm: String,
    /// What of the model is trained.
    pub parameters: String,
    /// The reward that is optimised. Of a run with tasks, their mean gain in standard deviations of the base model's rewards.
    pub reward: RewardRecord,
    /// What is optimised in turns, an epoch each, in their order; nothing of a run without tasks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskRecord>,
    /// Those that are measured and never optimised.
    pub held_out: Vec<RewardRecord>,
    /// What is drawn.
    pub prompts: PromptsRecord,
    /// The seed of everything but evaluation.
    pub seed: u64,
    /// The seed of evaluation's noise.
    pub evaluation_seed: u64,
    /// The epochs that were planned when it began.
    pub epochs: u64,
    /// Training samples an epoch.
    pub images_per_epoch: u64,
    /// Optimizer steps an epoch.
    pub updates_per_epoch: u64,
    /// How a picture is sampled.
    pub chain: ChainRecord,
    /// What it ran on.
    pub machine: MachineRecord,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ModelRecord {
    /// Its name, directory or hub id.
    pub name: String,
    /// A checksum of its weights.
    pub fingerprint: String,
    /// What its frozen weights are held in and their products computed in. Versions before this one had only f32 on the
    /// processor, and did not say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dtype: String,
}

/// A reward.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct RewardRecord {
    /// Its name.
    pub name: String,
    /// What it counts, such as `kB`; none for a score without a unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

/// One of the tasks of a run.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct TaskRecord {
    /// Its name.
    pub name: String,
    /// What it optimises.
    pub reward: RewardRecord,
    /// How many prompts it draws from.
    pub training: u64,
    /// How many its evaluation has.
    pub evaluation: u64,
}

/// Prompts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct PromptsRecord {
    /// How many training draws from.
    pub training: u64,
    /// Those of evaluation: sample i has the prompt i modulo their number.
    pub evaluation: Vec<String>,
    /// Whether training never uses a prompt of evaluation.
    pub disjoint: bool,
}

/// The denoising chain of a picture.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct ChainRecord {
    /// How noise becomes a picture.
    pub scheduler: String,
    /// Denoising steps.
    pub steps: u64,
    /// Classifier-free guidance; 1 is none.
    #[serde(deserialize_with = "number")]
    pub guidance: f64,
    /// Height, width and channels of the state that is denoised.
    pub latent: [u64; 3],
}

/// What a run ran on when it began. None of it changes a number.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct MachineRecord {
    /// Operating system and architecture.
    pub platform: String,
    /// The processor, where the system says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor: Option<String>,
    /// The device of the model.
    pub device: String,
    /// Worker threads.
    pub threads: u64,
}

impl RunRecord {
    /// The schema that this version writes.
    pub const SCHEMA: u64 = 1;
}
