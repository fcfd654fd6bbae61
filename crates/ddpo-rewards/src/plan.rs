//! A reward whose kind is known and whose options have been checked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ddpo_core::Judge;
use toml::Table;

use crate::managed::{HandlingOptions, wrapped};
use crate::{Repository, Result, RewardContext, RewardFactory};

/// A reward that can be opened. It is made by [`RewardRegistry::plan`](crate::RewardRegistry::plan).
#[derive(Clone)]
pub struct RewardPlan {
    pub(crate) factory: Arc<dyn RewardFactory>,
    pub(crate) name: String,
    pub(crate) options: Table,
    /// The options that every kind has.
    pub(crate) handling: Table,
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

    /// The value of an option of its kind, where one is given.
    pub fn option(&self, key: &str) -> Option<&toml::Value> {
        self.options.get(key)
    }

    /// Whether an option may differ when a run goes on.
    pub fn is_free(&self, key: &str) -> bool {
        let options = self.factory.options().iter().chain(HandlingOptions::SPECS);
        options.into_iter().any(|option| option.free && option.key() == key)
    }

    /// Makes the reward.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    pub fn open(&self, context: &RewardContext) -> Result<Judge> {
        let usual = self.factory.handling();
        let handling = HandlingOptions::read(self.kind(), &usual, &self.handling)?;
        wrapped(self.kind(), self.factory.open(&self.options, context)?, &handling, &usual, &self.identity())
    }

    /// Checks that the files and programs which its options name are there. Nothing is opened, started or fetched.
    ///
    /// # Errors
    /// Names what is not there.
    pub fn check_files(&self) -> Result<()> {
        self.factory.check_files(&self.options)
    }

    /// Checks what only a model and its prompts can tell. Nothing is opened, started or fetched.
    ///
    /// # Errors
    /// What is missing.
    pub fn check_context(&self, context: &RewardContext) -> Result<()> {
        self.factory.check_context(&self.options, context)
    }

    /// What tells its scores from those of others.
    fn identity(&self) -> String {
        let fixed = self.options.iter().filter(|(key, _)| !self.is_free(key));
        fixed.fold(format!("{} {}", self.kind(), self.name), |all, (key, value)| format!("{all}\n{key} = {value}"))
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
        if let Some(cache) = self.handling.get("cache").and_then(toml::Value::as_str) {
            let path = directory.join(cache).to_string_lossy().into_owned();
            if path != cache {
                options.insert("cache".to_owned(), path.into());
            }
        }
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
        let mut debug = f.debug_struct("RewardPlan");
        debug.field("name", &self.name).field("options", &self.options).field("handling", &self.handling);
        debug.finish_non_exhaustive()
    }
}

impl PartialEq for RewardPlan {
    fn eq(&self, other: &Self) -> bool {
        let parts =
            |plan: &Self| (plan.kind().to_owned(), plan.name.clone(), plan.options.clone(), plan.handling.clone());
        parts(self) == parts(other)
    }
}
