//! Which file describes a CLIP.

use super::{ClipConfig, open_clip};
use crate::{error::Result, fields::Fields, files::ModelFiles, vision::VisionConfig};

impl ClipConfig {
    /// Reads the description of a model: transformers' `config.json`, or else OpenCLIP's `open_clip_config.json`.
    ///
    /// # Errors
    ///
    /// If there is neither, or it cannot be honoured.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        const OF_OPEN_CLIP: &str = "open_clip_config.json";
        if !files.has("config.json") && files.has(OF_OPEN_CLIP) {
            return open_clip::read_config(&files.text(OF_OPEN_CLIP, "the description of the model")?);
        }
        Self::from_json(&files.text("config.json", "the description of the model")?)
    }

    /// The sizes of an image encoder that is described alone, and the dimensions of the space it projects into; none where a
    /// whole CLIP is described.
    pub(super) fn image_encoder(files: &ModelFiles) -> Result<Option<(VisionConfig, usize)>> {
        /// The second is of the aesthetic predictors that are published as transformers models.
        const ALONE: [&str; 2] = ["clip_vision_model", "aesthetics_predictor"];
        if !files.has("config.json") {
            return Ok(None);
        }
        let json = files.text("config.json", "the description of the model")?;
        let mut fields = Fields::parse("vision_model", "config.json", &json)?;
        let kind: String = fields.take("model_type", String::new())?;
        if !ALONE.contains(&kind.as_str()) {
            return Ok(None);
        }
        fields.ignore(&["auto_map"]);
        let projection_dim = fields.take("projection_dim", 512)?;
        Ok(Some((VisionConfig::from_fields(fields)?, projection_dim)))
    }
}
