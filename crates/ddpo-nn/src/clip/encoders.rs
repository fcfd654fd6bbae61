//! CLIP's two encoders with their projections into the common space.

use burn::tensor::{Device, Tensor};

use super::{
    ClipConfig,
    layout::{Layout, text_part, vision_part},
};
use crate::{
    error::Result,
    fields::size,
    files::{ModelFiles, TensorFile},
    layers::Linear,
    params::{ParamScope, Placement, Specs, TensorPart, Weights},
    text::TextEncoder,
    vision::{VisionConfig, VisionTower},
};

/// The weights of an encoder and of its projection.
#[derive(Clone, Debug)]
pub struct EncoderWeights {
    /// Of the transformer.
    pub tower: Weights,
    /// Of the projection, which has no bias.
    pub projection: Weights,
}

impl EncoderWeights {
    /// Fresh weights.
    fn init(tower: &Specs, projection: &Specs, seed: u64, device: &Device) -> Self {
        Self { tower: Weights::init(tower, seed, device), projection: Weights::init(projection, seed, device) }
    }
}

/// The encoder of pictures.
#[derive(Clone, Debug)]
pub struct ClipImageEncoder {
    tower: VisionTower,
    specs: Specs,
    projection: Linear,
}

/// The encoder of texts.
#[derive(Clone, Debug)]
pub struct ClipTextEncoder {
    tower: TextEncoder,
    specs: Specs,
    projection: Linear,
}

/// A linear layer without bias, alone.
fn projection(name: &str, inputs: usize, outputs: usize) -> (Specs, Linear) {
    let mut specs = Vec::new();
    let linear = Linear::without_bias(&mut ParamScope::root(&mut specs).child(name), inputs, outputs);
    (specs.into(), linear)
}

/// Loads a projection, whatever else is in the file.
fn load_projection(specs: &Specs, file: &TensorFile, part: TensorPart, placement: &Placement) -> Result<Weights> {
    Weights::load_parts(specs, file, |_| part.clone(), |_| true, placement.clone())
}

impl ClipImageEncoder {
    /// Describes the image encoder of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: &ClipConfig) -> Result<Self> {
        Self::of(config.vision.clone(), config.projection_dim)
    }

    /// Describes an image encoder of these sizes.
    ///
    /// # Errors
    ///
    /// If they do not fit each other.
    pub fn of(vision: VisionConfig, projection_dim: usize) -> Result<Self> {
        size("clip", "projection_dim", projection_dim)?;
        let (specs, projection) = projection("visual_projection", vision.hidden_size, projection_dim);
        Ok(Self { tower: VisionTower::new(vision)?, specs, projection })
    }

    /// Describes the image encoder of a model: of a whole CLIP, or of a `CLIPVisionModelWithProjection` alone.
    ///
    /// # Errors
    ///
    /// If the model is not described, or cannot be honoured.
    pub fn from_files(files: &ModelFiles) -> Result<Self> {
        match ClipConfig::image_encoder(files)? {
            Some((vision, projection_dim)) => Self::of(vision, projection_dim),
            None => Self::new(&ClipConfig::from_files(files)?),
        }
    }

    /// The dimensions of the common space.
    pub fn dimensions(&self) -> usize {
        self.specs.first().and_then(|spec| spec.shape.first()).copied().unwrap_or(0)
    }

    /// The transformer without the projection.
    pub fn tower(&self) -> &VisionTower {
        &self.tower
    }

    /// Constant weights from a whole CLIP in transformers' layout, OpenCLIP's or that of the original code.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, damaged or of another shape.
    pub fn load(&self, file: &TensorFile, placement: impl Into<Placement>) -> Result<EncoderWeights> {
        let placement = placement.into();
        let (tower, part) = match Layout::of(file) {
            Layout::Transformers => {
                (self.tower.load(file, placement.clone())?, TensorPart::whole("visual_projection.weight"))
            }
            Layout::OpenClip { .. } => {
                let ignored = |name: &str| !name.starts_with("visual.") || name == "visual.proj";
                let tower = Weights::load_parts(self.tower.specs(), file, vision_part, ignored, placement.clone())?;
                (tower, TensorPart::transposed("visual.proj"))
            }
        };
        Ok(EncoderWeights { tower, projection: load_projection(&self.specs, file, part, &placement)? })
    }

    /// Fresh weights, for tests and measurements.
    pub fn init(&self, seed: u64, device: &Device) -> EncoderWeights {
        EncoderWeights::init(self.tower.specs(), &self.specs, seed, device)
    }

    /// Where pictures are in the common space; not normalised (transformers' `get_image_features`).
    ///
    /// # Shapes
    ///
    /// `[B, image_size, image_size, 3] -> [B, projection_dim]`
    ///
    /// # Errors
    ///
    /// If the pictures have another size, or the weights are of another model.
    pub fn encode(&self, weights: &EncoderWeights, pixels: Tensor<4>) -> Result<Tensor<2>> {
        let output = self.tower.forward(&weights.tower, pixels)?;
        let pooled = self.tower.pooled(&weights.tower, output);
        Ok(self.projection.forward(&weights.projection, pooled))
    }
}

impl ClipTextEncoder {
    /// Describes the text encoder of `config`.
    ///
    /// # Errors
    ///
    /// If the configuration's sizes do not fit each other.
    pub fn new(config: &ClipConfig) -> Result<Self> {
        config.validate()?;
        let tower = TextEncoder::new(config.text.clone())?;
        let (specs, projection) = projection("text_projection", config.text.hidden_size, config.projection_dim);
        Ok(Self { tower, specs, projection })
    }

    /// The transformer without the projection.
    pub fn tower(&self) -> &TextEncoder {
        &self.tower
    }

    /// Constant weights from a whole CLIP in transformers' layout, OpenCLIP's or that of the original code.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, damaged or of another shape.
    pub fn load(&self, file: &TensorFile, placement: impl Into<Placement>) -> Result<EncoderWeights> {
        let placement = placement.into();
        let (tower, part) = match Layout::of(file) {
            Layout::Transformers => {
                (self.tower.load(file, placement.clone())?, TensorPart::whole("text_projection.weight"))
            }
            Layout::OpenClip { prefix } => {
                let specs = self.tower.specs();
                let tower =
                    Weights::load_parts(specs, file, |name| text_part(name, prefix), |_| true, placement.clone())?;
                (tower, TensorPart::transposed(format!("{prefix}text_projection")))
            }
        };
        Ok(EncoderWeights { tower, projection: load_projection(&self.specs, file, part, &placement)? })
    }

    /// Fresh weights, for tests and measurements.
    pub fn init(&self, seed: u64, device: &Device) -> EncoderWeights {
        EncoderWeights::init(self.tower.specs(), &self.specs, seed, device)
    }

    /// Where a text is in the common space; not normalised (transformers' `get_text_features`). What follows its end is not
    /// looked at, as no token sees a later one.
    ///
    /// # Shapes
    ///
    /// `S` ids give `[1, projection_dim]`.
    ///
    /// # Errors
    ///
    /// If the text is too long, an id is not in the vocabulary, or the weights are of another model.
    pub fn encode(&self, weights: &EncoderWeights, ids: &[u32]) -> Result<Tensor<2>> {
        let length = self.tower.end(ids) + 1;
        let text = ids.get(..length).unwrap_or(ids).to_vec();
        let pooled = self.tower.forward(&weights.tower, &[text])?.pooled();
        Ok(self.projection.forward(&weights.projection, pooled))
    }
}
