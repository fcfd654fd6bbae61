//! The CPU kernels as operations of a graph.

mod conv;
mod linear;
mod matrix;

pub(crate) use conv::conv2d;
pub(crate) use linear::linear;
pub(crate) use matrix::Cache;
