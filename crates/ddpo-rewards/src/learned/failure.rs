//! Why a reward's own network cannot be had.

/// Why a reward that is a network cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFailure {
    /// A model that is neither on the disk nor a name of the hub.
    #[error(
        "open the model `{model}` of the reward `{kind}`: there is no such directory, and it is no hub id `organisation/name`"
    )]
    Missing {
        /// The kind of the reward.
        kind: String,
        /// The model asked for.
        model: String,
    },
    /// A model of the hub where nothing can fetch one.
    #[error(
        "open the model `{id}` of the reward `{kind}`: it is on the hub, which is not reached from here; name a directory"
    )]
    NoHub {
        /// The kind of the reward.
        kind: String,
        /// The model asked for.
        id: String,
    },
    /// The hub did not give it.
    #[error("open the model `{id}` of the reward `{kind}`")]
    Fetch {
        /// The kind of the reward.
        kind: String,
        /// The model asked for.
        id: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Weights that are published as a pickle only, which executes code when it is read.
    #[error(
        "open the model `{model}` of the reward `{kind}`: its weights are a pickle, which is never read; convert them once with `{command}`, and name the directory as `reward.{option}`"
    )]
    Pickle {
        /// The kind of the reward.
        kind: String,
        /// The model asked for.
        model: String,
        /// The command that converts it.
        command: String,
        /// The option that names what the command makes.
        option: &'static str,
    },
    /// Its files are not those of the network.
    #[error("open the model `{model}` of the reward `{kind}`")]
    Network {
        /// The kind of the reward.
        kind: String,
        /// The model asked for.
        model: String,
        /// What is wrong with it.
        #[source]
        source: Box<ddpo_nn::Error>,
    },
}
