//! Rewards as a command names them, and the hub as rewards see it.

use std::path::PathBuf;
use std::sync::Arc;

use ddpo_rewards::{Repositories, Repository, RewardContext, RewardPlan, RewardRegistry};

use crate::config::RewardEntry;
use crate::error::{Error, Result};
use crate::hub::{Hub, HubEvent, HubModel};

/// The reward that is written in a line: a kind, `exec:PROGRAM` and its like, or a table, `{ kind = "hpsv2", model = "DIRECTORY" }`.
/// No program is started.
///
/// # Errors
///
/// Tells a reward that is not built yet from a name that means nothing.
pub fn named(line: &str) -> Result<RewardPlan> {
    RewardEntry::parse(line)?.alone("reward", &RewardRegistry::default())
}

/// The repositories from which rewards take their networks, each once.
///
/// # Errors
///
/// For options that do not fit.
pub fn repositories<'a>(rewards: impl IntoIterator<Item = &'a RewardPlan>) -> Result<Vec<Repository>> {
    let mut all: Vec<Repository> = Vec::new();
    for reward in rewards {
        let new = reward.repositories()?;
        all.extend(
            new.into_iter()
                .filter(|new| !all.iter().any(|old| (&old.id, &old.revision) == (&new.id, &new.revision)))
                .collect::<Vec<_>>(),
        );
    }
    Ok(all)
}

impl Hub {
    /// The directory of a repository's files, fetched where they are missing.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::fetch_chosen`].
    pub fn fetch_repository(&self, repository: &Repository, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<PathBuf> {
        self.fetch_chosen(model(repository), &repository.choose, on_event)
    }

    /// Whether a repository's files are all in the cache.
    pub fn has_repository(&self, repository: &Repository) -> bool {
        self.cached_chosen(model(repository), &repository.choose).is_some()
    }
}

fn model(repository: &Repository) -> HubModel<'_> {
    HubModel { id: &repository.id, revision: &repository.revision, variant: None, weights: true }
}

impl Repositories for Hub {
    fn directory(&self, repository: &Repository) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>> {
        self.fetch_repository(repository, &mut |_| {}).map_err(|error| match error {
            // As it is, so that a reward can say how its own weights are converted.
            Error::Models(error) => error.into(),
            other => other.into(),
        })
    }
}

/// A context in which rewards can have their networks from the hub of the environment.
pub(crate) fn with_hub(context: RewardContext) -> RewardContext {
    context.with_repositories(Arc::new(Hub::from_env()))
}
