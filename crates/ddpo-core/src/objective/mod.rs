//! What is minimised: from log-probabilities and advantages to a loss.

mod contract;
mod ddpo_is;
mod ddpo_sf;
mod diagnostics;
mod divergence_mask;
mod equal_steps;
mod kl_penalised;
mod normalised_ratio;
mod pairwise;

pub use contract::{LogProbTerms, Loss, Needs, Objective, PairCounts, ReferenceTerms, StepTerms};
pub use ddpo_is::DdpoIs;
pub use ddpo_sf::DdpoSf;
pub use diagnostics::Diagnostics;
pub use divergence_mask::DivergenceMask;
pub use equal_steps::EqualSteps;
pub use kl_penalised::KlPenalised;
pub use normalised_ratio::NormalisedRatio;
pub use pairwise::{PairClip, Pairwise};
