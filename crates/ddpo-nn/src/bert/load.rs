//! An encoder's weights from the files of transformers and of BLIP.

use super::model::BertEncoder;
use crate::{
    error::Result,
    files::TensorFile,
    params::{Placement, Weights},
};

/// A parameter by which the network is found in a file.
const MARK: &str = "embeddings.word_embeddings.weight";

impl BertEncoder {
    /// Constant weights from a file, whose tensors begin with nothing or with the name of a module around the encoder, such as
    /// `roberta.`; layers beyond those of the configuration and what else is in it are left out.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, damaged or of another shape.
    pub fn load(&self, file: &TensorFile, placement: impl Into<Placement>) -> Result<Weights> {
        let names = file.names();
        let prefix = names.iter().find_map(|name| name.strip_suffix(MARK)).unwrap_or_default().to_owned();
        Weights::load_renamed(self.specs(), file, |name| format!("{prefix}{name}"), |_| true, placement)
    }
}
