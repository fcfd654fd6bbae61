//! The trainers, and what they share: sampling, scoring, evaluation, the optimizer's step, the state.

mod ddpo;
mod evaluation;
mod failed;
mod fork;
mod memory;
mod parts;
mod regression;
mod rwr;
mod sample;
mod score;
mod state;
mod update;
mod watch;
mod workshop;

pub use ddpo::DdpoTrainer;
pub use evaluation::{Diversity, Evaluation, mean_pairwise_distance};
pub use fork::ForkPolicy;
pub use parts::{DdpoParts, Decoder, Encoder, Parts, RwrParts};
pub use rwr::RwrTrainer;
pub use watch::StopRule;
