//! The DDPO trainer: sample, score, advantages, update.

mod ddpo;
mod evaluation;
mod fork;
mod memory;
mod parts;
mod sample;
mod score;
mod state;
mod update;

pub use ddpo::DdpoTrainer;
pub use evaluation::{Diversity, Evaluation, mean_pairwise_distance};
pub use fork::ForkPolicy;
pub use parts::{DdpoParts, Decoder};
