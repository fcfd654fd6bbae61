//! What is fetched, and what is heard of it.

/// What happens while a model is fetched.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum HubEvent<'a> {
    /// A file is on its way.
    File {
        /// Its path in the repository.
        name: &'a str,
        /// Bytes that are here.
        done: u64,
        /// Bytes in all, where the hub says it.
        total: Option<u64>,
    },
    /// The hub did not give the model, so what is in the cache is used.
    FromCache {
        /// Why it did not: it could not be reached, or said no.
        reason: &'a str,
    },
}

/// One model of the hub.
#[derive(Clone, Copy, Debug)]
pub struct HubModel<'a> {
    /// `organisation/name`.
    pub id: &'a str,
    /// A branch, a tag or a commit.
    pub revision: &'a str,
    /// Which half-precision weights to prefer.
    pub variant: Option<&'a str>,
    /// Whether its weights are wanted, and not only what describes them.
    pub weights: bool,
}
