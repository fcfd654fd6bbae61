//! A vision transformer's weights from the files of transformers.

use burn::tensor::Device;

use super::model::VisionTower;
use crate::{error::Result, files::TensorFile, params::Weights};

/// Where the parameters are in [`VisionTower`]'s own names.
const OWN: &str = "vision_model.";

/// A parameter by which the network is found in a file.
const MARK: &str = "embeddings.class_embedding";

impl VisionTower {
    /// Constant weights from a transformers file of a `CLIPModel` or a `CLIPVisionModel`; what else is in it is left out.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, unknown, damaged or of another shape.
    pub fn load(&self, file: &TensorFile, device: &Device) -> Result<Weights> {
        let names = file.names();
        let prefix = names.iter().find_map(|name| name.strip_suffix(MARK)).unwrap_or(OWN).to_owned();
        let rename =
            |name: &str| name.strip_prefix(OWN).map_or_else(|| name.to_owned(), |name| format!("{prefix}{name}"));
        // Without a prefix the names of others cannot be told from unknown ones.
        let others = ["visual_projection.", "text_projection.", "text_model.", "logit_scale", "logit_bias"];
        let ignored = |name: &str| {
            let inside = name.strip_prefix(prefix.as_str());
            inside.is_none_or(|inside| {
                inside == "embeddings.position_ids" || others.iter().any(|other| inside.starts_with(other))
            })
        };
        Weights::load_renamed(self.specs(), file, rename, ignored, device)
    }
}
