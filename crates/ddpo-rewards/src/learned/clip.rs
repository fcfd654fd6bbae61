//! How near a picture is to its prompt in CLIP's space.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Device;
use ddpo_core::RewardBatch;
use ddpo_nn::{
    ClipConfig, ClipImageEncoder, ClipTextEncoder, EncoderWeights, ImageProcessor, Placement, Result, TensorFile,
    Tokenizer,
};

use super::pictures::{pixels, rows, unit};

/// Prompts whose embeddings are kept: a run has a few hundred, and each is a few kilobytes.
const MOST_KEPT: usize = 4096;

/// A CLIP with its weights: texts and pictures in one space.
pub struct ClipScorer {
    images: ClipImageEncoder,
    image_weights: EncoderWeights,
    texts: ClipTextEncoder,
    text_weights: EncoderWeights,
    processor: ImageProcessor,
    tokenizer: Tokenizer,
    scale: f64,
    device: Device,
    /// Embeddings of prompts, of length 1.
    known: Mutex<HashMap<String, Vec<f32>>>,
}

impl ClipScorer {
    /// A CLIP of these parts.
    ///
    /// # Errors
    ///
    /// If the weights are not those of the configuration, or its pictures are not as large as the processor's.
    pub fn new(
        config: &ClipConfig,
        weights: &TensorFile,
        processor: ImageProcessor,
        tokenizer: Tokenizer,
        placement: impl Into<Placement>,
    ) -> Result<Self> {
        let placement = placement.into();
        check_size(&processor, config.vision.image_size)?;
        let (images, texts) = (ClipImageEncoder::new(config)?, ClipTextEncoder::new(config)?);
        Ok(Self {
            image_weights: images.load(weights, placement.clone())?,
            images,
            text_weights: texts.load(weights, placement.clone())?,
            texts,
            processor,
            tokenizer,
            scale: weights.read_number("logit_scale")?.exp(),
            device: placement.device().clone(),
            known: Mutex::default(),
        })
    }

    /// What the model multiplies similarities by: e to the power of its `logit_scale`.
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The cosine of the angle between each picture and its prompt.
    ///
    /// # Errors
    ///
    /// If a picture has no pixels, or a prompt cannot be encoded.
    pub fn similarities(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let features = self.images.encode(&self.image_weights, pixels(&self.processor, batch.images, &self.device)?)?;
        let images = rows(features)?.into_iter().map(unit);
        images.zip(batch.prompts).map(|(image, prompt)| Ok(dot(&image, &self.text(prompt)?))).collect()
    }

    /// Where a text is, from memory if it has been asked for.
    fn text(&self, prompt: &str) -> Result<Vec<f32>> {
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(prompt) {
            return Ok(known.clone());
        }
        let features = self.texts.encode(&self.text_weights, &self.tokenizer.encode(prompt)?)?;
        let text = unit(rows(features)?.pop().unwrap_or_default());
        let mut known = lock();
        if known.len() >= MOST_KEPT {
            known.clear();
        }
        known.insert(prompt.to_owned(), text.clone());
        Ok(text)
    }
}

/// Refuses a processor whose pictures the encoder does not take.
pub(super) fn check_size(processor: &ImageProcessor, wanted: usize) -> Result<()> {
    match processor.size() == wanted {
        true => Ok(()),
        false => {
            let wanted = format!("{wanted}, the image_size of config.json");
            Err(ddpo_nn::Error::config("preprocessor", "crop_size", processor.size(), wanted))
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
}
