//! Samplers as distributions: a scheduler says where a step's Gaussian is, and nothing more.

mod chain;
mod coefficients;
mod consistency;
mod contract;
mod ddim;
mod ddpm;
mod euler_ancestral;

pub use coefficients::Coefficients;
pub use consistency::{Consistency, ConsistencyConfig};
pub use contract::{Scheduler, stochastic_steps, trained_steps, transition};
pub use ddim::{Ddim, DdimConfig};
pub use ddpm::{Ddpm, DdpmConfig};
pub use euler_ancestral::{EulerAncestral, EulerAncestralConfig};
