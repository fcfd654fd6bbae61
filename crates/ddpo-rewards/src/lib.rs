//! Rewards: what a picture is worth.
//!
//! A reward implements [`ddpo_core::Reward`]: it sees 8-bit RGB images and prompts, and answers one number per image. What
//! compares images with each other, such as [`Diversity`], implements [`ddpo_core::SetReward`].
//! [`by_name`] finds one as the command line names it, [`Weighted`] adds several up, and [`Checked`] turns an answer
//! that would poison training — NaN, too few values — into an error naming the reward and the sample.
//!
//! Nothing here knows of models, samplers or training, and no reward downloads anything.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod exec;
pub mod jpeg;

mod checked;
mod diversity;
mod error;
mod registry;
mod weighted;

pub use checked::Checked;
pub use diversity::{Diversity, mean_pairwise_distance};
pub use error::{Error, Result};
pub use exec::Exec;
pub use jpeg::{JpegCompressibility, JpegIncompressibility, jpeg_bytes};
pub use registry::{NAMES, by_name, by_name_unchecked};
pub use weighted::Weighted;
