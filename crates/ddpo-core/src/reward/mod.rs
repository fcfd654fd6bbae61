//! Rewards: their contracts, what they say, and sums of them. The one part of this crate, besides `image.rs`, that names images.

mod assessment;
mod contract;
mod judge;
mod sum;

pub use assessment::Assessment;
pub use contract::{PromptMetadata, Reward, RewardBatch, SelectedImages, SetReward};
pub use judge::{Judge, WeightedSum, WeightedTerm};
