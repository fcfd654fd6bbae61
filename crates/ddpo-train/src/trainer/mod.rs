//! The trainers, and what they share: sampling, scoring, evaluation, the optimizer's step, the state.

mod anchor;
mod anchored;
mod average;
mod correction;
mod ddpo;
mod distill;
mod distill_loss;
mod early_stopping;
mod evaluate;
mod evaluation;
mod evidence;
mod exchange;
mod fork;
mod forward;
mod joint;
mod optimise;
mod parts;
mod policy_gradient;
mod preference;
mod preference_loss;
mod probe;
mod regression;
mod rwr;
mod sample;
mod score;
mod scorers;
mod scores;
mod state;
mod task;
mod trainer_core;

pub use anchor::{Anchor, AnchorTarget};
pub use ddpo::DdpoTrainer;
pub use distill::DistillTrainer;
pub use early_stopping::StopRule;
pub use evaluation::{AsAskedMeasure, DiversityMeasure, Evaluation};
pub use fork::ForkPolicy;
pub use forward::ForwardTrainer;
pub use parts::{
    DdpoParts, Decoder, DistillParts, Encoder, ForwardParts, Parts, PicturePairs, PreferenceParts, RwrParts, Task,
};
pub use preference::PreferenceTrainer;
pub use probe::{FirstGradient, GradientPart, GradientProbe, TimestepRange};
pub use rwr::RwrTrainer;
