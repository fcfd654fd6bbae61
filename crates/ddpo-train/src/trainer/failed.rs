//! Why an optimizer step did not happen.

use crate::error::Error;

/// The failure of an optimizer step, and which of its pieces it was in, where that is known.
pub(super) struct Failed {
    pub piece: Option<usize>,
    pub error: Error,
}

impl Failed {
    /// Whether a loss or a gradient is NaN or infinite, which a plan may pass over.
    pub fn is_non_finite(&self) -> bool {
        matches!(self.error, Error::NonFinite { .. })
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { piece: None, error }
    }
}
