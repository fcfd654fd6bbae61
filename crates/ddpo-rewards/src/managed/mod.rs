//! How a reward is asked, whatever its kind: in requests of what size and how many at once, what becomes of one that fails, whether
//! scores are kept, and whether they are those of noised copies.

mod attempts;
mod fingerprint;
mod options;
mod reward;
mod smoothed;
mod wrap;

pub(crate) use options::KEYS;
pub use options::{HandlingOptions, OnFailure};
pub(crate) use wrap::wrapped;
