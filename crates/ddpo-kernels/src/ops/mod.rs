//! The CPU kernels as operations of a graph.

mod attention;
mod conv;
mod frozen;
mod linear;
mod matrix;
mod norm;
mod pointwise;

pub(crate) use attention::{attention, distinct};
pub(crate) use conv::conv2d;
pub(crate) use frozen::Frozen;
pub(crate) use linear::{linear, linear_geglu};
pub(crate) use norm::{group_norm, layer_norm};
pub(crate) use pointwise::{Function, geglu, map, upsample_nearest_2x};
