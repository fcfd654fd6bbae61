//! Test doubles and tolerances for the crates of the workspace. Never a dependency of anything that ships.
//!
//! Like any test, this crate panics when something is wrong.

mod gaussian;
mod gaussian_policy;
mod http_server;
mod reward;
mod schedulers;
mod tolerance;
mod toy_policy;

pub use gaussian::GaussianDenoiser;
pub use gaussian_policy::GaussianPolicy;
pub use http_server::{HttpReply, HttpRequest, HttpServer};
pub use reward::{MeanBrightness, ScriptedReward};
pub use schedulers::{NamedScheduler, schedulers, stable_diffusion_schedule};
pub use tolerance::{Tolerance, assert_bit_equal, assert_close};
pub use toy_policy::{ToyPolicy, ToyPolicyConfig};
