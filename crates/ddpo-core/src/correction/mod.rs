//! Learning from the forward process: regression on targets that the advantage corrects.

mod target;
mod weight;

pub use target::{CorrectedLoss, CorrectedTarget, Models, NoisedStates};
pub use weight::{ErrorSpace, ErrorWeight};
