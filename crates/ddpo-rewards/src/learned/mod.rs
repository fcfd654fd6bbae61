//! Rewards that are networks: CLIP's and what people have made of it, ImageReward, and the comparison of texts by BERTScore.
//!
//! Every kind names the repository, the revision and the licence of its weights ([`Repository`]), so that a program can say so
//! before anything is downloaded. Nothing here downloads: [`RewardContext::repositories`](crate::RewardContext) does. Weights
//! are safetensors; what is published as a pickle has to be converted, and the error says how.

mod aesthetic;
pub mod bert_score;
mod clip;
mod contrast;
mod dtype;
mod failure;
mod head;
mod image_reward;
mod networks;
mod pictures;
mod repository;
mod source;

pub(crate) use aesthetic::AestheticFactory;
pub use aesthetic::{Aesthetic, AestheticOptions};
pub use clip::ClipScorer;
pub(crate) use contrast::{CLIP_SCORE, HPS_V2, PICK_SCORE};
pub use contrast::{ClipReward, ContrastOptions};
pub use dtype::NetworkDtype;
pub use failure::ModelFailure;
pub(crate) use image_reward::ImageRewardFactory;
pub use image_reward::{ImageReward, ImageRewardOptions};
pub use networks::Networks;
pub use repository::{Repositories, Repository};
