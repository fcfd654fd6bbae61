//! What both stages share: leaves, the optimizer, the averaged weights, and their place in a checkpoint.

use burn::tensor::{Device, Tensor};
use ddpo_core::Parameter;
use ddpo_models::{Specs, Weights};
use ddpo_train::{AdamW, AdamWConfig, GradientSum, NamedTensor};

use super::recipe::StageConfig;
use super::run::scalar;
use crate::Result;

/// The weights of one or more networks which are trained together.
pub(super) struct Stage {
    config: StageConfig,
    parts: Vec<(&'static str, Specs)>,
    values: Vec<Tensor<1>>,
    average: Vec<Tensor<1>>,
    optimizer: AdamW,
    device: Device,
}

/// What a step reports.
pub(super) struct StepReport {
    pub(super) loss: f64,
    pub(super) grad_norm: f64,
    pub(super) learning_rate: f64,
}

impl Stage {
    /// Fresh weights for `parts`, each a name and the parameters of its network.
    pub(super) fn new(config: StageConfig, parts: Vec<(&'static str, Specs)>, seed: u64, device: &Device) -> Self {
        let values: Vec<_> = parts.iter().flat_map(|(_, specs)| Weights::init(specs, seed, device).values()).collect();
        Self {
            config,
            average: values.clone(),
            values,
            parts,
            optimizer: AdamW::new(optimizer_config()),
            device: device.clone(),
        }
    }

    /// Steps taken.
    pub(super) fn step_number(&self) -> u64 {
        self.optimizer.time()
    }

    /// Steps of the recipe.
    pub(super) fn steps(&self) -> u64 {
        self.config.steps
    }

    /// Whether every step of the recipe has been taken.
    pub(super) fn is_done(&self) -> bool {
        self.step_number() >= self.config.steps
    }

    /// The networks' weights as leaves of a new graph, in the order of the parts.
    pub(super) fn leaves(&self) -> Result<Vec<Weights>> {
        let device = self.device.clone().autodiff();
        self.split(&self.values, |specs, values| Ok(Weights::trainable(specs, values, &device)?))
    }

    /// The averaged weights, constant: the ones that are kept.
    pub(super) fn averaged(&self) -> Result<Vec<Weights>> {
        self.split(&self.average, |specs, values| Ok(Weights::frozen(specs, values)?))
    }

    /// One step of AdamW against `loss`, a scalar `[1]` computed from `leaves`, then one of the average.
    pub(super) fn step(&mut self, leaves: &[Weights], loss: Tensor<1>) -> Result<StepReport> {
        let step = self.step_number();
        let learning_rate = self.config.learning_rate_at(step);
        let value = scalar(loss.clone())?;
        let mut gradients = GradientSum::new();
        gradients.add(&self.parameters(leaves), loss.backward(), 1.0)?;
        let values = std::mem::take(&mut self.values);
        let update = self.optimizer.step(learning_rate, values, gradients)?;
        self.values = update.values;
        self.average_in(self.config.decay_at(step));
        Ok(StepReport { loss: value, grad_norm: update.grad_norm, learning_rate })
    }

    /// Everything a checkpoint keeps, as named tensors.
    pub(super) fn export(&self) -> Result<Vec<NamedTensor>> {
        let names = self.names();
        let mut tensors = self.optimizer.export(&names)?;
        for (kind, values) in [("value", &self.values), ("average", &self.average)] {
            for (name, value) in names.iter().zip(values) {
                tensors.push(NamedTensor::from_tensor(format!("{kind}/{name}"), value)?);
            }
        }
        Ok(tensors)
    }

    /// Puts back what [`export`](Self::export) gave after `time` steps.
    pub(super) fn import(&mut self, time: u64, tensors: &[NamedTensor]) -> Result<()> {
        let named: Vec<(String, usize)> =
            self.names().into_iter().zip(self.values.iter().map(|v| v.dims()[0])).collect();
        let read = |kind: &str| -> Result<Vec<Tensor<1>>> {
            let find = |(name, length): &(String, usize)| {
                Ok(NamedTensor::find(tensors, &format!("{kind}/{name}"), *length)?.to_tensor(&self.device))
            };
            named.iter().map(find).collect()
        };
        let (values, average) = (read("value")?, read("average")?);
        self.optimizer = AdamW::import(optimizer_config(), time, &named, tensors, &self.device)?;
        (self.values, self.average) = (values, average);
        Ok(())
    }

    fn average_in(&mut self, decay: f64) {
        let mix = |(old, new): (Tensor<1>, &Tensor<1>)| old.mul_scalar(decay) + new.clone().mul_scalar(1.0 - decay);
        self.average = std::mem::take(&mut self.average).into_iter().zip(&self.values).map(mix).collect();
    }

    fn parameters(&self, leaves: &[Weights]) -> Vec<Parameter> {
        let values = leaves.iter().flat_map(Weights::values);
        self.names()
            .into_iter()
            .zip(values)
            .map(|(name, value)| Parameter { name, shape: value.dims().to_vec(), value })
            .collect()
    }

    fn names(&self) -> Vec<String> {
        let part = |(part, specs): &(&'static str, Specs)| {
            specs.iter().map(|spec| format!("{part}.{}", spec.name)).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(part).collect()
    }

    fn split(
        &self,
        values: &[Tensor<1>],
        make: impl Fn(&Specs, Vec<Tensor<1>>) -> Result<Weights>,
    ) -> Result<Vec<Weights>> {
        let mut rest = values;
        let mut parts = Vec::with_capacity(self.parts.len());
        for (_, specs) in &self.parts {
            let (own, others) = rest.split_at(specs.len());
            parts.push(make(specs, own.to_vec())?);
            rest = others;
        }
        Ok(parts)
    }
}

/// β₂ is 0.99: at a few thousand steps the longer memory of 0.999 lags behind the gradients.
fn optimizer_config() -> AdamWConfig {
    AdamWConfig { beta_2: 0.99, weight_decay: 1e-3, max_norm: Some(1.0), ..AdamWConfig::default() }
}
