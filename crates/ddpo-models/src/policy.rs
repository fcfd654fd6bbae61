//! A UNet as the policy that reinforcement learning trains.

use burn::tensor::{Device, Tensor};
use ddpo_core::{Condition, Denoiser, Error as CoreError, Parameter, Policy, Prediction, Timestep};
use ddpo_nn::{Error, Result, Weights};

use crate::{
    denoiser::UnetDenoiser,
    lora::Lora,
    recompute::{Trained, predict_recomputing},
};

/// A UNet that is fine-tuned, by an adapter or as a whole.
///
/// It keeps three sets of weights: the base model's, the current ones as autodiff leaves, and the current ones as constants,
/// whose packed forms all samplers between two updates share.
#[derive(Clone, Debug)]
pub struct DiffusionPolicy {
    base: UnetDenoiser,
    tracked: UnetDenoiser,
    sampler: UnetDenoiser,
    adapter: Option<Lora>,
    device: Device,
    recompute: bool,
}

impl DiffusionPolicy {
    /// Trains `adapter` over the frozen weights of `base` and the adapters on them: these stay as they are, and are part of the
    /// [`reference`](Policy::reference). `device` says how to differentiate: its gradient-checkpointing
    /// strategy is the policy's.
    ///
    /// # Errors
    ///
    /// If the adapter is of another model.
    pub fn lora(base: UnetDenoiser, adapter: &Lora, device: &Device) -> Result<Self> {
        let base = base.with(base.weights.without_gradients());
        let mut policy = Self::untrained(base, device);
        policy.set_adapter(adapter)?;
        Ok(policy)
    }

    /// Trains all weights, from those of `base` on.
    ///
    /// # Errors
    ///
    /// If there are adapters on them, which would be lost.
    pub fn full(base: UnetDenoiser, device: &Device) -> Result<Self> {
        if base.weights.has_terms() {
            return Err(Error::input("train all weights", "base", "weights with adapters", "weights alone"));
        }
        let base = base.with(base.weights.without_gradients());
        let values = base.weights.values();
        let mut policy = Self::untrained(base, device);
        policy.set_weights(values)?;
        Ok(policy)
    }

    /// The same policy with or without gradient checkpointing: instead of keeping every intermediate value for the backward
    /// pass, it keeps what enters each layer of the UNet and computes the layer again. Values are the same to the bit, and so
    /// are the gradients of adapters on attention and feed-forward layers; those of others up to rounding.
    #[must_use]
    pub fn recomputing(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// The adapter as it is now, constant; none if all weights are trained.
    pub fn adapter(&self) -> Option<Lora> {
        self.adapter.as_ref().map(Lora::without_gradients)
    }

    /// The weights as they are now, constant, the adapter on top of them.
    pub fn weights(&self) -> &Weights {
        &self.sampler.weights
    }

    /// The denoiser as it is now, to keep.
    pub fn snapshot(&self) -> UnetDenoiser {
        self.sampler.clone()
    }

    /// What is trained, as constants, and as it is in the graph.
    fn trained(&self) -> (Trained, Vec<Tensor<1>>) {
        match &self.adapter {
            Some(adapter) => {
                let leaves = adapter.parameters().into_iter().map(|parameter| parameter.value).collect();
                (Trained::Adapter(adapter.without_gradients(), self.base.weights.clone()), leaves)
            }
            None => {
                let leaves = self.tracked.weights.values();
                let values = leaves.iter().cloned().map(Tensor::inner).collect();
                (Trained::Whole(self.base.unet.specs().clone(), values), leaves)
            }
        }
    }

    fn untrained(base: UnetDenoiser, device: &Device) -> Self {
        let (tracked, sampler) = (base.clone(), base.clone());
        Self { base, tracked, sampler, adapter: None, device: device.clone(), recompute: false }
    }

    fn set_adapter(&mut self, adapter: &Lora) -> Result<()> {
        let tracked = adapter.tracked(&self.device);
        self.sampler = self.base.adapted(&adapter.without_gradients())?;
        self.tracked = self.base.adapted(&tracked)?;
        self.adapter = Some(tracked);
        Ok(())
    }

    fn set_weights(&mut self, values: Vec<Tensor<1>>) -> Result<()> {
        let specs = self.base.unet.specs();
        let plain = values.iter().cloned().map(Tensor::inner).collect();
        self.sampler = self.base.with(Weights::frozen(specs, plain)?);
        self.tracked = self.base.with(Weights::trainable(specs, values, &self.device)?);
        Ok(())
    }
}

impl Denoiser<4> for DiffusionPolicy {
    fn predict(
        &self,
        sample: &Tensor<4>,
        timesteps: &[Timestep],
        condition: &Condition,
    ) -> ddpo_core::Result<Prediction<4>> {
        if self.recompute {
            let times: Vec<f64> = timesteps.iter().map(|timestep| timestep.0).collect();
            let (trained, leaves) = self.trained();
            let value = predict_recomputing(&self.sampler, trained, leaves, sample, times, &condition.states);
            return Ok(Prediction::new(self.base.kind, value.map_err(CoreError::model)?));
        }
        self.tracked.predict(sample, timesteps, condition)
    }
}

impl Policy<4> for DiffusionPolicy {
    fn parameters(&self) -> Vec<Parameter> {
        if let Some(adapter) = &self.adapter {
            return adapter.parameters();
        }
        let weights = &self.tracked.weights;
        let named = weights.specs().iter().zip(weights.values());
        named
            .map(|(spec, value)| Parameter { name: format!("unet.{}", spec.name), shape: spec.kernel_shape(), value })
            .collect()
    }

    fn set_parameters(&mut self, values: Vec<Tensor<1>>) -> ddpo_core::Result<()> {
        let set = match &self.adapter {
            Some(adapter) => adapter.with_values(values).and_then(|adapter| self.set_adapter(&adapter)),
            None => self.set_weights(values),
        };
        set.map_err(CoreError::model)
    }

    fn sampler(&self) -> Box<dyn Denoiser<4> + '_> {
        Box::new(&self.sampler)
    }

    fn reference(&self) -> Box<dyn Denoiser<4> + '_> {
        Box::new(&self.base)
    }
}
