//! A reward whose kind is known and whose options have been checked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ddpo_core::Judge;
use toml::Table;

use crate::{Repository, Result, RewardContext, RewardFactory};

/// A reward that can be opened. It is made by [`RewardRegistry::plan`](crate::RewardRegistry::plan).
#[derive(Clone)]
pub struct RewardPlan {
    pub(crate) factory: Arc<dyn RewardFactory>,
    pub(crate) name: String,
    pub(crate) options: Table,
}

impl RewardPlan {
    /// What the reward is called in metrics.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its kind.
    pub fn kind(&self) -> &str {
        self.factory.kind()
    }

    /// Whether an option may differ when a run goes on.
    pub fn is_free(&self, key: &str) -> bool {
        self.factory.options().iter().any(|option| option.free && option.key() == key)
    }

    /// Makes the reward.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    pub fn open(&self, context: &RewardContext) -> Result<Judge> {
        self.factory.open(&self.options, context)
    }

    /// The repositories of the hub that it takes its networks from.
    ///
    /// # Errors
    /// For options that do not fit.
    pub fn repositories(&self) -> Result<Vec<Repository>> {
        self.factory.repositories(&self.options)
    }

    /// The options which are missing or have another value for the reward to mean the same from any working directory;
    /// `directory` is the present one.
    pub fn anchor(&self, directory: &Path) -> Table {
        let mut options = self.options.clone();
        self.factory.anchor(&mut options, directory);
        options.into_iter().filter(|(key, value)| self.options.get(key) != Some(value)).collect()
    }
}

impl fmt::Display for RewardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Debug for RewardPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewardPlan").field("name", &self.name).field("options", &self.options).finish_non_exhaustive()
    }
}

impl PartialEq for RewardPlan {
    fn eq(&self, other: &Self) -> bool {
        (self.kind(), &self.name, &self.options) == (other.kind(), &other.name, &other.options)
    }
}
