//! Every kernel against its composed fallback, and the laws of the crate.

mod conv;
mod linear;
mod support;
