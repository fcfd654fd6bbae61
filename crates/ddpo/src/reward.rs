//! Rewards as a command names them.

use ddpo_rewards::{RewardPlan, RewardRegistry};
use toml::Table;

use crate::error::Result;

/// The reward that is written in a line: a kind, or `exec:PROGRAM`. No program is started.
///
/// # Errors
///
/// Tells a reward that is not built yet from a name that means nothing.
pub fn named(line: &str) -> Result<RewardPlan> {
    Ok(RewardRegistry::default().plan(line, &Table::new())?)
}
