//! Fine-tuning of diffusion models by reinforcement learning: the whole library, and the recipe that joins its parts.
//!
//! A [`RunConfig`] is what a user writes, a [`RunPlan`] is what has been checked.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adapter;
pub mod config;
pub mod device;
pub mod hub;
pub mod images;
pub mod metadata;
pub mod model;
pub mod pictures;
pub mod pretrain;
pub mod prompts;
pub mod report;
pub mod reward;

mod error;
mod paths;
mod recipe;

pub use config::{Layers, RunConfig, RunPlan};
pub use ddpo_core as core;
pub use ddpo_models as models;
pub use ddpo_nn as nn;
pub use ddpo_rewards as rewards;
pub use ddpo_train as train;
pub use error::{Error, Result};
pub use recipe::{
    ClassifyRequest, Judges, LoadedModel, MeasureRequest, Measurement, Product, RunDirectory, SampleRequest, Sampled,
    TrainOutcome, classify, measure, sample, score, train,
};
