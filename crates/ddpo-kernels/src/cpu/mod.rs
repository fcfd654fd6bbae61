//! The CPU kernels, on slices: no tensor type, no graph.

pub(crate) mod conv;
pub(crate) mod conv_weight;
pub(crate) mod linear;
pub(crate) mod memory;
pub(crate) mod pack;
mod product;
mod tile;
