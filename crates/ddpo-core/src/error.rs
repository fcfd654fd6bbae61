//! What can go wrong in this crate, each kind once.

use crate::{Epoch, SampleId};

/// The cause of an error that another crate reports through a contract of this one.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result of every fallible function of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the core: what was attempted, the value found and the value wanted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two tensors, or a tensor and a request, disagree on their shape.
    #[error("{operation}: shape {found:?} found, {wanted:?} wanted")]
    Shape {
        /// What was attempted.
        operation: &'static str,
        /// The shape found.
        found: Vec<usize>,
        /// The shape wanted.
        wanted: Vec<usize>,
    },
    /// A list has the wrong number of entries.
    #[error("{operation}: {found} {what} found, {wanted} wanted")]
    Count {
        /// What was attempted.
        operation: &'static str,
        /// What is counted, in the plural.
        what: &'static str,
        /// The number found.
        found: usize,
        /// The number wanted.
        wanted: usize,
    },
    /// A reward answered with the wrong number of values.
    #[error("the reward `{reward}` gave {found} {} for {wanted} {}", plural(*found, "value"), plural(*wanted, "image"))]
    ScoreCount {
        /// The reward.
        reward: String,
        /// The number of values.
        found: usize,
        /// The number of images.
        wanted: usize,
    },
    /// A parameter lies outside of its domain.
    #[error("{name}: {found} found, {wanted} wanted")]
    Parameter {
        /// The parameter.
        name: &'static str,
        /// The value found.
        found: String,
        /// The domain, in words.
        wanted: String,
    },
    /// An index points past the end.
    #[error("{what}: index {found} found, an index below {len} wanted")]
    Index {
        /// What is indexed.
        what: &'static str,
        /// The index found.
        found: usize,
        /// The number of entries.
        len: usize,
    },
    /// A density was asked of a step that draws nothing: η = 0, or a last step that arrives at clean data.
    #[error("{operation}: row {row} has standard deviation 0, a step with noise wanted")]
    DeterministicStep {
        /// What was attempted.
        operation: &'static str,
        /// The row of the batch.
        row: usize,
    },
    /// The prediction cannot be converted at this noise level.
    #[error("{kind} prediction: noise level with signal {signal} found, {wanted} wanted")]
    UndefinedPrediction {
        /// The kind of prediction.
        kind: &'static str,
        /// √ᾱ at the step.
        signal: f64,
        /// What would have worked.
        wanted: &'static str,
    },
    /// A reward is NaN or infinite.
    #[error("reward of sample {} in epoch {}: {value} found, a finite number wanted", sample.0, epoch.0)]
    NonFiniteReward {
        /// The epoch of the sample.
        epoch: Epoch,
        /// The sample.
        sample: SampleId,
        /// The value found.
        value: f32,
    },
    /// A reward function failed.
    #[error("reward `{name}` failed")]
    Reward {
        /// The reward's name.
        name: String,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A model failed to predict, or to take parameters.
    #[error("the model failed")]
    Model(#[source] BoxError),
    /// The device failed to return a tensor.
    #[error("reading a tensor failed")]
    Read(#[source] BoxError),
}

impl Error {
    /// A failure of the reward `name`.
    pub fn reward(name: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Reward { name: name.into(), source: source.into() }
    }

    /// A failure of a model behind [`Denoiser`](crate::Denoiser) or [`Policy`](crate::Policy).
    pub fn model(source: impl Into<BoxError>) -> Self {
        Self::Model(source.into())
    }

    pub(crate) fn parameter(name: &'static str, found: impl ToString, wanted: impl ToString) -> Self {
        Self::Parameter { name, found: found.to_string(), wanted: wanted.to_string() }
    }
}

fn plural(count: usize, what: &str) -> String {
    if count == 1 { what.to_owned() } else { format!("{what}s") }
}

/// Checks that a list has as many entries as it must.
pub(crate) fn check_count(operation: &'static str, what: &'static str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::Count { operation, what, found, wanted })
}

/// Checks that two shapes are the same.
pub(crate) fn check_shape(operation: &'static str, found: &[usize], wanted: &[usize]) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    Err(Error::Shape { operation, found: found.to_vec(), wanted: wanted.to_vec() })
}
