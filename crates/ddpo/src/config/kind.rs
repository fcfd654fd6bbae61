//! The kind of model a run is about.

use crate::model::ModelSource;

/// The kind of a model as far as it is known before anything is loaded: by where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelKind {
    /// The model inside the program, for which the defaults were tuned.
    Embedded,
    /// A diffusers directory or a model of the hub: the defaults are ddpo-pytorch's and the paper's.
    StableDiffusion,
}

impl ModelKind {
    /// The kind of the model that `model.path` names.
    pub fn of(path: &str) -> Self {
        if path == ModelSource::EMBEDDED { Self::Embedded } else { Self::StableDiffusion }
    }
}
