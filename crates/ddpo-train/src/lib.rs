//! Training: the loops of DDPO, of reward-weighted regression and of the forward process, their optimizer, checkpoints and trackers.
//!
//! [`DdpoTrainer`] does an epoch: sample, score, advantages, update. [`RwrTrainer`] does a round: sample, score, weigh,
//! regress. [`ForwardTrainer`] does an epoch: sample, score, advantages, regress on corrected targets. All share the sampler, the evaluation and the state. [`Run`] does epochs, keeps a state to go back to at
//! every boundary and writes checkpoints. [`Tracker`]s hear of both. The model stands behind
//! [`ddpo_core::Policy`], so nothing here knows what a UNet is; [`AdamW`], [`CheckpointStore`] and [`Run`] know
//! nothing of DDPO either.
//!
//! Every random choice is a function of a seed and of counters ([`ddpo_core::Noise`]). A run which was killed anywhere
//! and resumed therefore ends with the same bytes as one which was not.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod checkpoint;
mod error;
mod events;
pub mod fs;
mod histogram;
mod lanes;
mod non_finite;
mod observer;
mod optimizer;
mod plan;
mod prompts;
mod ranks;
mod record;
mod run;
mod sampler;
mod stop;
mod tensors;
mod time;
mod tracker;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointStore, Found, Identity, Snapshot};
pub use error::{Error, Location, Result};
pub use events::{Event, Halt, Progress, Remark, Remarks, Samples, Stage};
pub use histogram::Histogram;
pub use lanes::{Lanes, OnStep};
pub use non_finite::{BatchMembers, NonFiniteBatch};
pub use observer::Observer;
pub use optimizer::{AdamW, AdamWConfig, GradientSum, Update, gradients_of};
pub use plan::{
    DdpoPlan, DistillPlan, ForwardPlan, NonFinitePolicy, OldPolicy, PreferencePlan, RwrPlan, SamplePlan,
    TimestepDensity,
};
pub use prompts::EncodedPrompts;
pub use ranks::{Alone, Collective, Ranks, Team};
pub use record::{
    AnchorRecord, ChainRecord, CorrectionRecord, DistillationRecord, EpochRecord, EvalRecord, METRICS, MachineRecord,
    MetricName, ModelRecord, PairsRecord, PreferenceRecord, PromptsRecord, Record, RegressionRecord, RewardRecord,
    RunRecord, TaskEvalRecord, TaskRecord, UpdateRecord,
};
pub use run::{Checkpoints, Learner, Outcome, Position, Run, Work};
pub use sampler::{BatchSampler, OpenModel};
pub use stop::StopFlag;
pub use tensors::NamedTensor;
pub use time::rfc3339;
pub use tracker::{Answers, Batches, Broadcast, Csv, JsonLines, Memory, TensorBoard, Tracker};
pub use trainer::{
    Anchor, AnchorTarget, AsAskedMeasure, DdpoParts, DdpoTrainer, Decoder, DistillParts, DistillTrainer,
    DiversityMeasure, Encoder, Evaluation, FirstGradient, ForkPolicy, ForwardParts, ForwardTrainer, GradientPart,
    GradientProbe, Parts, PicturePairs, PreferenceParts, PreferenceTrainer, RwrParts, RwrTrainer, StopRule, Task,
    TimestepRange,
};
