//! The recipe: from a checked plan to a model that has been trained, sampled or measured.

mod assembly;
mod classify;
mod description;
mod directory;
mod grids;
mod identity;
mod judges;
mod loaded;
mod measure;
mod posterior;
mod rwr;
mod sample;
mod score;
mod stack;
mod trace;
mod train;

pub use classify::{ClassifyRequest, classify};
pub use directory::{Product, RunDirectory};
pub use judges::Judges;
pub use loaded::LoadedModel;
pub use measure::{MeasureRequest, Measurement, measure};
pub use sample::{SampleRequest, Sampled, sample};
pub use score::score;
pub use train::{TrainOutcome, train};
