//! The recipe: from a checked plan to a model that has been trained, sampled or measured.

mod adapter_files;
mod assembly;
mod classify;
mod description;
mod directory;
mod distill;
mod embeddings;
mod estimate;
mod forward;
mod gradient;
mod grids;
mod identity;
mod loaded;
mod measure;
mod open;
mod opening;
mod preference;
mod rewards;
mod rwr;
mod sample;
mod score;
mod search;
mod session;
mod stack;
mod trace;

pub use classify::{ClassifyRequest, classify};
pub use directory::{Product, RunDirectory};
pub use estimate::{ComputeRate, CostEstimate};
pub use gradient::{GradientMeasurement, GradientRequest, PartMeasurement, measure_gradient};
pub use loaded::LoadedModel;
pub use measure::{MeasureRequest, Measurement, measure};
pub use opening::OpenOptions;
pub use sample::{SampleRequest, Sampled, sample};
pub use score::{check_reward, score};
pub use search::{SearchPlan, SearchRecord, search};
pub use session::{Session, SessionBuilder, Step, TrainOutcome};
