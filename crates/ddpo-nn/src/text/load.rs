//! The text encoder's weights from the files of every release of transformers.

use super::model::TextEncoder;
use crate::{
    error::{Error, Result},
    files::TensorFile,
    params::{Placement, Weights},
};

/// Where the parameters are in [`TextEncoder`]'s own names.
const OWN: &str = "text_model.";

/// A parameter by which the network is found in a file.
const MARK: &str = "embeddings.token_embedding.weight";

/// What a file has of CLIP besides the text encoder: its other half, and what joins the two.
const OTHER_PARTS: [&str; 4] = ["vision_model.", "visual_projection.", "text_projection.", "logit_scale"];

impl TextEncoder {
    /// Constant weights from a file of a `CLIPTextModel`, of one with its projection, or of a whole `CLIPModel`. Its tensors
    /// begin with `text_model.`, with nothing (transformers from 5.6 on), or with the name of a module around it. Layers beyond
    /// those of the configuration are left out, as transformers does: a common way to skip the last.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, damaged or of another shape, or if there is more than one text encoder.
    pub fn load(&self, file: &TensorFile, placement: impl Into<Placement>) -> Result<Weights> {
        self.load_part(file, "", placement)
    }

    /// [`TextEncoder::load`] of a file that holds other networks, too: only tensors whose names begin with `scope` are looked at.
    ///
    /// # Errors
    ///
    /// Those of [`TextEncoder::load`].
    pub fn load_part(&self, file: &TensorFile, scope: &str, placement: impl Into<Placement>) -> Result<Weights> {
        let prefix = prefix(file, scope)?;
        let rename =
            |name: &str| name.strip_prefix(OWN).map_or_else(|| name.to_owned(), |name| format!("{prefix}{name}"));
        let layers = self.config().num_hidden_layers;
        let ignored = |name: &str| {
            let rest = name.strip_prefix(prefix.as_str());
            let beyond = || rest.and_then(layer).is_some_and(|layer| layer >= layers);
            // A buffer that older releases wrote beside the parameters.
            rest == Some("embeddings.position_ids")
                || !name.starts_with(scope)
                || is_of_another_part(name, scope)
                || beyond()
        };
        Weights::load_renamed(self.specs(), file, rename, ignored, placement)
    }
}

/// What the names of the text encoder's tensors begin with.
fn prefix(file: &TensorFile, scope: &str) -> Result<String> {
    let names = file.names();
    let inside = names.iter().filter(|name| name.starts_with(scope));
    let found: Vec<&str> = inside.filter_map(|name| name.strip_suffix(MARK)).collect();
    match found.as_slice() {
        [prefix] => Ok((*prefix).to_owned()),
        // The error of the first missing tensor says the rest.
        [] => Ok(format!("{scope}{OWN}")),
        [first, second, ..] => {
            let reason = format!("two text encoders found, `{first}{MARK}` and `{second}{MARK}`, one wanted");
            Err(Error::Tensors { name: file.name().to_owned(), reason })
        }
    }
}

fn is_of_another_part(name: &str, scope: &str) -> bool {
    let inside = name.strip_prefix(scope).unwrap_or(name);
    OTHER_PARTS.iter().any(|part| inside.starts_with(part))
}

/// The number of the layer that a tensor is of.
fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("encoder.layers.")?.split_once('.')?.0.parse().ok()
}
