//! The recipe: from a checked plan to a model that has been trained, sampled or measured.

mod directory;
mod grids;
mod identity;
mod measure;
mod sample;
mod score;
mod studio;
mod trace;
mod train;

pub use directory::{Product, RunDirectory};
pub use measure::{MeasureRequest, Measurement, measure};
pub use sample::{SampleRequest, Sampled, sample};
pub use score::score;
pub use studio::Studio;
pub use train::{TrainOutcome, train};
