//! The CPU kernels, on slices: no tensor type, no graph.

pub(crate) mod attention;
pub(crate) mod conv;
pub(crate) mod conv_input;
pub(crate) mod conv_weight;
pub(crate) mod gated;
pub(crate) mod group_norm;
pub(crate) mod half;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod memory;
pub(crate) mod pack;
pub(crate) mod pointwise;
mod product;
pub(crate) mod resample;
mod tile;
pub(crate) mod winograd;
