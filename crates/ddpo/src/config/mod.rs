//! The configuration of a run: what a user writes ([`RunConfig`]) and what is run ([`RunPlan`]).

mod advantage;
mod algorithm;
mod batches;
mod check;
mod choices;
mod difference;
mod distill;
mod document;
mod forward;
mod kind;
mod layers;
mod model_defaults;
mod options;
mod pairs;
mod plan;
mod presets;
mod prompt_sources;
mod reference;
mod regression;
mod rewards;
mod run;
mod sampler;
mod task_options;
mod tasks;
mod unknown;

pub use advantage::AdvantagePlan;
pub use algorithm::{AlgorithmPlan, ObjectivePlan, PolicyGradientPlan};
pub use choices::{
    AdapterFormat, AdvantageKind, Algorithm, Dtype, ErrorSpace, EvalPrompts, NonFinitePolicy, PairClipChoice,
    PairJudge, PairTimesteps, Parameters, PromptKind, PromptSyntax, Reduction, SchedulerKind, SearchKind, SpacingKind,
    StepWeights, TimestepChoice, TrustRegion,
};
pub use difference::{Difference, command, differences};
pub use distill::DistillationPlan;
pub use document::document;
pub use forward::ForwardProcessPlan;
pub use kind::ModelKind;
pub use layers::Layers;
pub use pairs::GivenPairsPlan;
pub use plan::RunPlan;
pub use presets::{PRESETS, Preset};
pub use reference::{default_of, reference};
pub use regression::{RegressionPlan, WeightPlan};
pub use rewards::{RewardEntry, RewardList, RewardTerm};
pub use run::{
    AnchorOptions, CheckpointOptions, DistillOptions, EvalOptions, ForwardOptions, LoraOptions, ModelOptions,
    PairOptions, RunConfig, RunOptions, RwrOptions, SampleOptions, TrackOptions, TrainOptions,
};
pub use sampler::SamplerPlan;
pub use task_options::{AdvantageOptions, PromptOptions, TaskAdvantage, TaskOptions};
pub use tasks::TaskPlan;

pub(crate) use ddpo_rewards::nearest;
pub(crate) use difference::leaves;
