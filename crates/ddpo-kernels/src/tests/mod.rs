//! Every kernel against its composed fallback, and the laws of the crate.

mod attention;
mod conv;
mod deferred;
mod half;
mod linear;
mod norm;
mod pointwise;
mod support;
mod weight;
