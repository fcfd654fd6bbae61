//! What both stages share: leaves, the optimizer, the averaged weights, and their place in a checkpoint.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use ddpo_core::Parameter;
use ddpo_nn::{Specs, Weights};
use ddpo_train::{AdamW, AdamWConfig, GradientSum, Lanes, NamedTensor, gradients_of};

use super::recipe::StageConfig;
use super::tensors::scalar;
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

/// Means over some rows of a batch, `[1]` each: what is minimised, tracked, and the unweighted squared error.
pub(super) struct Losses {
    pub(super) loss: Tensor<1>,
    pub(super) mse: Tensor<1>,
}

/// What a part of a batch leaves.
struct Piece {
    rows: f64,
    losses: [f64; 2],
    gradients: Vec<Tensor<1>>,
}

/// What a step reports.
pub(super) struct StepReport {
    pub(super) loss: f64,
    pub(super) mse: f64,
    pub(super) grad_norm: f64,
    pub(super) learning_rate: f64,
}

impl Stage {
    /// Fresh weights for `parts`, each a name and the parameters of its network.
    pub(super) fn new(config: StageConfig, parts: Vec<(&'static str, Specs)>, seed: u64, device: &Device) -> Self {
        let values = parts.iter().flat_map(|(_, specs)| Weights::init(specs, seed, device).values()).collect();
        Self::of(config, parts, values, device)
    }

    /// The same from these weights on.
    pub(super) fn of(
        config: StageConfig,
        parts: Vec<(&'static str, Specs)>,
        values: Vec<Tensor<1>>,
        device: &Device,
    ) -> Self {
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
    fn leaves(&self) -> Result<Vec<Weights>> {
        let device = self.device.clone().autodiff();
        self.split(&self.values, |specs, values| Ok(Weights::trainable(specs, values, &device)?))
    }

    /// The averaged weights, constant: the ones that are kept.
    pub(super) fn averaged(&self) -> Result<Vec<Weights>> {
        self.split(&self.average, |specs, values| Ok(Weights::frozen(specs, values)?))
    }

    /// One step of AdamW against `loss` over the rows of a batch, then one of the average.
    ///
    /// `loss` gives the means over some rows, computed with the leaves it is handed. The batch is always cut into the same
    /// pieces, and their gradients are summed in the same order: how many lanes there are changes nothing.
    pub(super) fn step(
        &mut self,
        lanes: &Lanes,
        loss: impl Fn(&[Weights], Range<usize>) -> Result<Losses> + Sync,
    ) -> Result<StepReport> {
        let learning_rate = self.config.learning_rate_at(self.step_number());
        let (mut gradients, mut sums) = (GradientSum::new(), [0.0; 2]);
        lanes.each(
            pieces(self.config.batch_size),
            |_, rows, _| self.piece(&loss, rows),
            &mut || {},
            |piece: Piece| {
                sums = std::array::from_fn(|i| sums[i] + piece.rows * piece.losses[i]);
                Ok(gradients.add_tensors(piece.gradients, piece.rows)?)
            },
        )?;
        let [loss, mse] = sums.map(|sum| sum / gradients.weight());
        let values = std::mem::take(&mut self.values);
        let decay = self.config.decay_at(self.step_number());
        let update = self.optimizer.step(learning_rate, values, gradients)?;
        self.values = update.values;
        self.average_in(decay);
        Ok(StepReport { loss, mse, grad_norm: update.grad_norm, learning_rate })
    }

    /// The losses of some rows and the gradient of their sum, in a graph of its own.
    fn piece(
        &self,
        loss: &(impl Fn(&[Weights], Range<usize>) -> Result<Losses> + Sync),
        rows: Range<usize>,
    ) -> Result<Piece> {
        let leaves = self.leaves()?;
        let count = rows.len() as f64;
        let Losses { loss, mse } = loss(&leaves, rows)?;
        let losses = [scalar(loss.clone())?, scalar(mse)?];
        let gradients = gradients_of(&self.parameters(&leaves), loss.mul_scalar(count).backward())?;
        Ok(Piece { rows: count, losses, gradients })
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

/// A batch of `rows` cut into pieces that are worked on side by side: four, whatever the machine.
fn pieces(rows: usize) -> Vec<Range<usize>> {
    const PIECES: usize = 4;
    let piece = |i| rows * i / PIECES..rows * (i + 1) / PIECES;
    (0..PIECES).map(piece).filter(|rows| !rows.is_empty()).collect()
}

/// β₂ is 0.99: at a few thousand steps the longer memory of 0.999 lags behind the gradients.
fn optimizer_config() -> AdamWConfig {
    AdamWConfig { beta_2: 0.99, weight_decay: 1e-3, max_norm: Some(1.0), ..AdamWConfig::default() }
}
