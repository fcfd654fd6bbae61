//! One file a subcommand.

pub mod adapters;
pub mod classify;
pub mod completions;
pub mod config;
pub mod devices;
pub mod distill;
pub mod evaluate;
pub mod gradient;
pub mod man;
pub mod pretrain;
pub mod reference;
pub mod report;
mod requests;
pub mod sample;
mod sampler;
pub mod score;
pub mod search;
pub mod train;
