//! The mathematics and the contracts of reinforcement learning on diffusion models.
//!
//! A denoising chain is a Markov decision process (Black et al., arXiv 2305.13301, section 4.3): the state is
//! `(c, t, x_t)`, the action is `x_{t-1}`, the policy is the Gaussian that the sampler draws from. This crate has one path
//! from a model to a log-probability, [`propose`] then [`Transition::log_prob`], and everything else stands on it:
//!
//! 1. [`rollout`] samples chains and keeps every state and log-probability; [`Sampling`] does so with guidance, and with the
//!    divergence from a reference,
//! 2. a [`Reward`] scores the images, an [`Advantage`] normalises the rewards,
//! 3. an [`Objective`] turns new and old log-probabilities into a loss,
//! 4. or a [`Weighting`] turns the rewards into weights of a regression on [`denoising_error`],
//! 5. or a [`CorrectedTarget`](correction::CorrectedTarget) turns advantages into what the model should have predicted.
//!
//! There is no IO here, no random state, no configuration, no model and no image: a state is any tensor whose first
//! dimension is the batch. Randomness is a value, see [`Noise`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod advantage;
pub mod classifier;
pub mod correction;
pub mod distance;
pub mod distillation;
pub mod gradient;
pub mod metrics;
pub mod objective;
pub mod preference;
pub mod schedule;
pub mod scheduler;
pub mod search;
pub mod weighting;

mod condition;
mod data;
mod denoiser;
mod denoising;
mod error;
mod grouping;
mod guidance;
mod image;
mod index;
mod latest;
mod noise;
mod parameter;
mod policy;
mod prediction;
mod reward;
mod rows;
mod transition;

pub use advantage::Advantage;
pub use condition::Condition;
pub use data::minibatch::Minibatch;
pub use data::rollout::{Rollout, RolloutRequest, propose, rollout};
pub use data::sampling::{Chains, Sampling};
pub use data::scored::ScoredRollout;
pub use data::training_set::{Action, TrainingSet};
pub use denoiser::Denoiser;
pub use denoising::{denoising_error, prediction_distance};
pub use error::{BoxError, Error, Result};
pub use grouping::Grouping;
pub use guidance::Guided;
pub use image::RgbImage;
pub use index::{Epoch, PromptId, SampleId, StepIndex, Timestep};
pub use noise::{Address, Domain, Draw, Noise, Stream};
pub use objective::{LogProbTerms, Loss, Objective};
pub use parameter::Parameter;
pub use policy::Policy;
pub use prediction::{Clipping, Prediction, PredictionKind};
pub use reward::{
    Assessment, Judge, PromptMetadata, Reward, RewardBatch, SelectedImages, SetReward, WeightedSum, WeightedTerm,
};
pub use schedule::NoiseSchedule;
pub use scheduler::{Coefficients, Scheduler};
pub use transition::{Reduction, Transition};
pub use weighting::Weighting;
