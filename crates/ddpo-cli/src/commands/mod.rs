//! One file a subcommand.

pub mod adapters;
pub mod classify;
pub mod config;
pub mod evaluate;
pub mod labels;
pub mod pretrain;
pub mod report;
pub mod sample;
pub mod score;
pub mod train;
