//! What is minimised: from log-probabilities and advantages to a loss.

mod contract;
mod ddpo_is;
mod ddpo_sf;
mod diagnostics;

pub use contract::{LogProbTerms, Loss, Objective};
pub use ddpo_is::DdpoIs;
pub use ddpo_sf::DdpoSf;
pub use diagnostics::Diagnostics;
