//! `cargo xtask tidy`: the rules of this repository that no other tool knows.

mod check;
mod edges;
mod sources;

pub use check::run;
