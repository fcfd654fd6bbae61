//! A diffusion model as a zero-shot classifier (Li et al., arXiv 2303.16203).

mod classify;
mod elimination;
mod verdict;

pub use classify::DiffusionClassifier;
pub use elimination::{Elimination, Stage};
pub use verdict::Verdict;
