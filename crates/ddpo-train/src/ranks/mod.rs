//! Several processes that do one run together.

mod contract;
mod snapshot;
mod team;
mod together;
mod wire;

pub use contract::{Alone, Collective};
pub use team::Team;
pub use together::Ranks;
pub(crate) use wire::{Reader, Writer};
