//! Repositories of the hub from which rewards take their networks.

use std::path::PathBuf;

/// A repository of the hub, what is needed of it, and under which licence.
#[derive(Clone, Debug)]
pub struct Repository {
    /// `organisation/name`.
    pub id: String,
    /// A branch, a tag or a commit.
    pub revision: String,
    /// What it holds, for people: `CLIP ViT-L/14 and the aesthetic head, 1.2 GB`; none for a repository of the user's choice.
    pub about: Option<&'static str>,
    /// The licence of its weights, for people; none for a repository of the user's choice, whose card says it.
    pub licence: Option<&'static str>,
    /// Picks what is needed out of the repository's files.
    pub choose: Choose,
}

/// Picks files out of a listing, by their paths.
pub type Choose = fn(&[String]) -> ddpo_nn::Result<Vec<String>>;

/// The hub, as rewards see it.
pub trait Repositories: Send + Sync {
    /// The directory that holds the chosen files of a repository, fetched where they are missing.
    ///
    /// # Errors
    ///
    /// Whatever keeps them from being there.
    fn directory(&self, repository: &Repository) -> Result<PathBuf, Box<dyn std::error::Error + Send + Sync>>;
}
