//! Rewards: what a picture is worth.
//!
//! A reward implements [`ddpo_core::Reward`]: it sees 8-bit RGB images and prompts, and answers one number per image. What
//! compares images with each other, such as [`Diversity`], is a [`ddpo_core::SetReward`]; a [`ddpo_core::WeightedSum`] adds several up.
//!
//! A [`RewardFactory`] makes the rewards of a kind from the options of a configuration, and says which options those are;
//! [`RewardRegistry`] holds the factories there are, to which a user of the library adds their own.
//!
//! Nothing here knows of samplers or training, and no reward downloads anything. A reward that asks the model which is
//! trained sees it through [`BaseModel`].
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod exec;
pub mod http;
pub mod jpeg;
pub mod learned;
pub mod protocol;
pub mod recogniser;

mod alignment;
mod check;
mod conformance;
mod diversity;
mod error;
mod factory;
mod files;
mod managed;
mod options;
mod parity;
mod plan;
mod posterior;
mod probe;
mod registry;
mod spelling;
mod web;

pub use alignment::AlignmentOptions;
pub use check::{assess_checked, score_checked};
pub use conformance::{Finding, check_conformance};
pub use diversity::{Diversity, DiversityOptions, Over, mean_pairwise_distance};
pub use error::{Error, Result};
pub use exec::Exec;
pub use factory::{BaseModel, RewardContext, RewardFactory, Shorthand};
pub use http::HttpReward;
pub use jpeg::{JpegCompressibility, JpegIncompressibility, jpeg_bytes};
pub use learned::{Networks, Repositories, Repository};
pub use managed::{HandlingOptions, OnFailure};
pub use options::{OptionSpec, read_options};
pub use plan::RewardPlan;
pub use posterior::{PosteriorOptions, PosteriorReward, PosteriorValue};
pub use registry::{RewardRegistry, USAGES};
pub use spelling::nearest;
pub use web::{WebFailure, can_encrypt};
