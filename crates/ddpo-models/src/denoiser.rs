//! A UNet and its weights as a denoiser.

use std::sync::Arc;

use burn::tensor::Tensor;
use ddpo_core::{Condition, Denoiser, Error as CoreError, Prediction, PredictionKind, Timestep};
use ddpo_nn::{Result, Weights};

use crate::{lora::Lora, unet::Unet};

/// A UNet with constant weights, or any weights, as a denoiser.
#[derive(Clone, Debug)]
pub struct UnetDenoiser {
    pub(crate) unet: Arc<Unet>,
    pub(crate) weights: Weights,
    pub(crate) kind: PredictionKind,
}

impl UnetDenoiser {
    /// The denoiser that `unet` is with these weights, when it was trained to predict `kind`.
    pub fn new(unet: Arc<Unet>, weights: Weights, kind: PredictionKind) -> Self {
        Self { unet, weights, kind }
    }

    /// The weights.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same denoiser with an adapter on top of those that it has.
    ///
    /// # Errors
    ///
    /// If the adapter is of another model.
    pub fn adapted(&self, adapter: &Lora) -> Result<Self> {
        Ok(self.with(adapter.attach(&self.weights)?))
    }

    /// The same network with other weights.
    pub(crate) fn with(&self, weights: Weights) -> Self {
        Self { weights, ..self.clone() }
    }
}

impl Denoiser<4> for UnetDenoiser {
    fn predict(
        &self,
        sample: &Tensor<4>,
        timesteps: &[Timestep],
        condition: &Condition,
    ) -> ddpo_core::Result<Prediction<4>> {
        let times: Vec<f64> = timesteps.iter().map(|timestep| timestep.0).collect();
        let value = self.unet.forward(&self.weights, sample.clone(), &times, condition.states.clone());
        Ok(Prediction::new(self.kind, value.map_err(CoreError::model)?))
    }
}
