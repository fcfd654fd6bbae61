//! The trainers on a toy policy: what an epoch and a round must do, and what a resumed run must be.

mod anchor;
mod common;
mod ddpo;
mod distill;
mod forward;
mod given_pairs;
mod non_finite;
mod overlap;
mod preference;
mod probe;
mod ranks;
mod resume;
mod rwr;
mod sets;
mod tasks;
