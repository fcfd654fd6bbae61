//! `cargo xtask tidy`: the rules of this repository that no other tool knows.

mod check;
mod circles;
mod edges;
mod modules;
mod sources;

pub use check::run;
