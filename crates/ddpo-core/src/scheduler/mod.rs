//! Samplers as distributions: a scheduler says where a step's Gaussian is, and nothing more.

mod chain;
mod coefficients;
mod contract;
mod ddim;
mod ddpm;

pub use coefficients::Coefficients;
pub use contract::{Scheduler, stochastic_steps, transition};
pub use ddim::{Ddim, DdimConfig};
pub use ddpm::{Ddpm, DdpmConfig};
