//! From rewards to advantages: how much better than its peers a sample is.

mod batch;
mod by_range;
mod contract;
mod group;
mod pair;
mod per_prompt;
mod statistics;

pub use batch::BatchAdvantage;
pub use by_range::AdvantageByRange;
pub use contract::{Advantage, AdvantageState, Deviation};
pub use group::GroupAdvantage;
pub use pair::PairAdvantage;
pub use per_prompt::PerPromptAdvantage;
