//! All that an adapter's files hold: layers of the UNet and of the text encoder.

use ddpo_nn::{Error, Result};

use super::{Lora, names::module};
use crate::pipeline::Pipeline;

/// An adapter as other programs write it: factors for layers of the UNet, convolutions among them, and of the text encoder.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub(super) unet: Option<Lora>,
    pub(super) text_encoder: Option<Lora>,
}

impl Adapter {
    /// PEFT's file of weights, beside which its settings are.
    pub const PEFT_FILE: &'static str = "adapter_model.safetensors";
    /// PEFT's file of settings.
    pub const PEFT_CONFIG: &'static str = "adapter_config.json";

    /// The pipeline with `strength` times this adapter on top of it and of the adapters that it has. Nothing of it is nothing at
    /// all: not even a zero is added.
    ///
    /// # Errors
    ///
    /// If the adapter is of another pipeline.
    pub fn attach(&self, pipeline: &Pipeline, strength: f64) -> Result<Pipeline> {
        let mut adapted = pipeline.clone();
        if strength == 0.0 {
            return Ok(adapted);
        }
        if let Some(unet) = &self.unet {
            adapted.unet_weights = unet.scaled(strength).attach(&pipeline.unet_weights)?;
        }
        if let Some(text_encoder) = &self.text_encoder {
            adapted.text_weights = text_encoder.scaled(strength).attach(&pipeline.text_weights)?;
        }
        Ok(adapted)
    }

    /// The adapter to train.
    ///
    /// # Errors
    ///
    /// If it has layers that are not trained: of the text encoder, or convolutions.
    pub fn trainable(self) -> Result<Lora> {
        const WANTED: &str = "linear layers of the unet alone (over an adapter with others, a new one can be trained)";
        let refuse = |found: &str| Err(Error::input("go on training an adapter", "a layer", found, WANTED));
        if let Some(layer) = self.text_encoder.iter().flat_map(Lora::layer_names).next() {
            return refuse(&layer);
        }
        let Some(unet) = self.unet else { return refuse("none") };
        let convolution = unet.layers.iter().map(|layer| &unet.specs[layer.id.0]).find(|spec| module(spec).is_none());
        match convolution {
            Some(spec) => refuse(spec.name.trim_end_matches(".weight")),
            None => Ok(unet),
        }
    }
}
