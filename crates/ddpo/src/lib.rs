//! Fine-tuning of diffusion models by reinforcement learning: the whole library, and the recipe that joins its parts.
//!
//! A [`RunConfig`] is what a user writes, a [`RunPlan`] is what has been checked, and a [`Session`] trains, a step at a time. Here
//! the embedded model learns to draw brighter pictures:
//!
//! ```
//! use ddpo::{Layers, Reward, RewardBatch, RunPlan, Session, Step};
//!
//! /// How bright a picture is, from 0 to 1.
//! struct Bright;
//!
//! impl Reward for Bright {
//!     fn name(&self) -> &str {
//!         "bright"
//!     }
//!
//!     fn score(&self, batch: &RewardBatch<'_>) -> ddpo::core::Result<Vec<f32>> {
//!         let mean = |bytes: &[u8]| bytes.iter().map(|&byte| f32::from(byte)).sum::<f32>() / bytes.len() as f32;
//!         Ok(batch.images.iter().map(|image| mean(image.pixels()) / 255.0).collect())
//!     }
//! }
//!
//! let mut layers = Layers::default();
//! layers.push_toml("here", "run.epochs = 2\nsample = { steps = 4, batches-per-epoch = 1 }\ntrain.batch-size = 16")?;
//! # layers.push_assignment("eval.count=4")?;
//! let plan = RunPlan::new(layers.resolve()?)?;
//! let path = "runs/bright";
//! # let parent = tempfile::tempdir().unwrap();
//! # let path = parent.path().join(path);
//! let mut session = Session::create(plan, path).reward(Bright).open()?;
//! while let Some(step) = session.step()? {
//!     if let Step::Trained(epoch) = step {
//!         println!("epoch {}: {:.4}", epoch.epoch, epoch.reward_mean);
//!     }
//! }
//! # assert_eq!(session.epochs_done(), 2);
//! session.finish()?;
//! # Ok::<(), ddpo::Error>(())
//! ```
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod adapter;
pub mod config;
pub mod device;
pub mod embedding;
pub mod hub;
pub mod images;
pub mod launch;
pub mod metadata;
pub mod model;
pub mod pictures;
pub mod pretrain;
pub mod prompts;
pub mod report;
pub mod reward;
mod single_file;

mod error;
mod paths;
mod recipe;

pub use config::{Layers, RunConfig, RunPlan};
pub use ddpo_core as core;
pub use ddpo_core::{Assessment, Judge, PromptMetadata, Reward, RewardBatch, RgbImage, SetReward};
pub use ddpo_models as models;
pub use ddpo_nn as nn;
pub use ddpo_rewards as rewards;
pub use ddpo_rewards::{RewardContext, RewardFactory, RewardPlan, RewardRegistry};
pub use ddpo_train as train;
pub use error::{Error, Result};
pub use recipe::{
    ClassifyRequest, ComputeRate, CostEstimate, GradientMeasurement, GradientRequest, LoadedModel, MeasureRequest,
    Measurement, OpenOptions, PartMeasurement, Product, RunDirectory, RunPrompts, SampleRequest, Sampled, SearchPlan,
    SearchRecord, Session, SessionBuilder, Step, TrainOutcome, check_reward, classify, measure, measure_gradient,
    measure_search, sample, score, search,
};

/// The programs of the guide, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/guide/own-reward.md")]
struct OwnRewardGuide;
