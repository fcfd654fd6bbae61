//! What is minimised: from log-probabilities and advantages to a loss.

mod contract;
mod ddpo_is;
mod ddpo_sf;
mod diagnostics;
mod kl_penalised;

pub use contract::{LogProbTerms, Loss, Needs, Objective, ReferenceTerms};
pub use ddpo_is::DdpoIs;
pub use ddpo_sf::DdpoSf;
pub use diagnostics::Diagnostics;
pub use kl_penalised::KlPenalised;
