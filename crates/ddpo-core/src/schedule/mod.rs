//! Noise levels: how much noise each training timestep has, and which timesteps a sampler visits.

mod beta;
mod noise_schedule;
mod spacing;

pub use beta::BetaSchedule;
pub use noise_schedule::NoiseSchedule;
pub(crate) use noise_schedule::moments;
pub use spacing::Spacing;
