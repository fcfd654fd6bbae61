//! A diffusion model as a zero-shot classifier (Li et al., arXiv 2303.16203).

mod classification;
mod classify;
mod elimination;

pub use classification::Classification;
pub use classify::DiffusionClassifier;
pub use elimination::{Elimination, Stage};
