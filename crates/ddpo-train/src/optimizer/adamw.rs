//! AdamW (Loshchilov and Hutter, arXiv 1711.05101) as `torch.optim.AdamW` computes it.

use burn::tensor::{Device, Tensor};
use rayon::prelude::*;

use super::gradient::GradientSum;
use super::step::{Constants, ParameterState, composed, fused};
use crate::error::{Error, Result};
use crate::tensors::NamedTensor;

/// What AdamW is told once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// β₁, the decay of the first moment (0.9).
    pub beta_1: f64,
    /// β₂, the decay of the second moment (0.999).
    pub beta_2: f64,
    /// ε, added to the root of the second moment (1e-8).
    pub epsilon: f64,
    /// λ, the decoupled weight decay (1e-4, ddpo-pytorch's).
    pub weight_decay: f64,
    /// The largest global gradient norm; a larger gradient is scaled down to it (1.0). `None` never clips.
    pub max_norm: Option<f64>,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { beta_1: 0.9, beta_2: 0.999, epsilon: 1e-8, weight_decay: 1e-4, max_norm: Some(1.0) }
    }
}

/// What a step made.
#[derive(Debug)]
pub struct Update {
    /// The new parameter values, in order, without autodiff.
    pub values: Vec<Tensor<1>>,
    /// The global norm of the mean gradient before clipping.
    pub grad_norm: f64,
}

/// AdamW's state over an ordered list of parameters.
///
/// # Example
/// ```
/// use ddpo_core::Policy;
/// use ddpo_train::{AdamW, GradientSum, Result};
///
/// /// The gradient's norm.
/// fn step(policy: &mut impl Policy<4>, adamw: &mut AdamW, gradients: GradientSum) -> Result<f64> {
///     let values = policy.parameters().into_iter().map(|parameter| parameter.value).collect();
///     let update = adamw.step(1e-3, values, gradients)?;
///     policy.set_parameters(update.values)?;
///     Ok(update.grad_norm)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    time: u64,
    moments: Vec<MomentEstimates>,
}

#[derive(Clone, Debug)]
struct MomentEstimates {
    first: Tensor<1>,
    second: Tensor<1>,
}

impl AdamW {
    /// An optimizer which has taken no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, time: 0, moments: Vec::new() }
    }

    /// What it was told once.
    pub fn config(&self) -> AdamWConfig {
        self.config
    }

    /// The number of steps taken.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Takes one step with `learning_rate` against the mean of `gradients`, whose norm is clipped first.
    ///
    /// `values` are the parameters in their fixed order; autodiff is dropped. On the CPU one fused pass over memory,
    /// elsewhere tensor operations; the result never depends on the thread count.
    ///
    /// # Errors
    /// [`Error::NonFiniteNorm`], with nothing changed, where the gradient is NaN or infinite; [`Error::Count`] where
    /// the lists differ in length; [`Error::Device`].
    pub fn step(&mut self, learning_rate: f64, values: Vec<Tensor<1>>, gradients: GradientSum) -> Result<Update> {
        let grad_norm = gradients.norm()?;
        if !grad_norm.is_finite() {
            return Err(Error::NonFiniteNorm(grad_norm));
        }
        let constants = self.constants(learning_rate, grad_norm, gradients.weight());
        let slots = self.slots(values, gradients.into_parts().0)?;
        self.time += 1;
        let values = self.advance(slots, &constants)?;
        Ok(Update { values, grad_norm })
    }

    /// The moments as tensors named `adam.first/NAME` and `adam.second/NAME`; none before the first step.
    ///
    /// # Errors
    /// [`Error::Device`] where they cannot be read.
    pub fn export(&self, names: &[String]) -> Result<Vec<NamedTensor>> {
        let mut tensors = Vec::with_capacity(2 * self.moments.len());
        for (moments, name) in self.moments.iter().zip(names) {
            tensors.push(NamedTensor::from_tensor(format!("adam.first/{name}"), &moments.first)?);
            tensors.push(NamedTensor::from_tensor(format!("adam.second/{name}"), &moments.second)?);
        }
        Ok(tensors)
    }

    /// The optimizer which [`export`](Self::export)ed `tensors` after `time` steps, for `(name, length)` parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming a moment which is missing or has another length.
    pub fn import(
        config: AdamWConfig,
        time: u64,
        parameters: &[(String, usize)],
        tensors: &[NamedTensor],
        device: &Device,
    ) -> Result<Self> {
        let mut moments = Vec::new();
        for (name, length) in parameters.iter().filter(|_| time > 0) {
            let take = |kind: &str| NamedTensor::find(tensors, &format!("adam.{kind}/{name}"), *length);
            moments.push(MomentEstimates {
                first: take("first")?.to_tensor(device),
                second: take("second")?.to_tensor(device),
            });
        }
        Ok(Self { config, time, moments })
    }

    fn constants(&self, learning_rate: f64, grad_norm: f64, weight: f64) -> Constants {
        let c = &self.config;
        let t = (self.time + 1) as f64;
        // `clip_grad_norm_` divides by norm + 1e-6 and never scales up.
        let clip = c.max_norm.map_or(1.0, |max| (max / (grad_norm + 1e-6)).min(1.0));
        Constants {
            scale: clip / weight,
            keep: 1.0 - learning_rate * c.weight_decay,
            beta_2: c.beta_2,
            one_minus_beta_1: 1.0 - c.beta_1,
            one_minus_beta_2: 1.0 - c.beta_2,
            bias_2_root: (1.0 - c.beta_2.powf(t)).sqrt(),
            epsilon: c.epsilon,
            step_size: learning_rate / (1.0 - c.beta_1.powf(t)),
        }
    }

    /// Joins values, gradients and moments, which leave `self` so that nothing else holds their memory.
    fn slots(&mut self, values: Vec<Tensor<1>>, gradients: Vec<Tensor<1>>) -> Result<Vec<ParameterState>> {
        check_count("gradients of a step", gradients.len(), values.len())?;
        if self.time == 0 {
            self.moments = gradients.iter().map(MomentEstimates::zeros).collect();
        }
        check_count("parameters of a step", values.len(), self.moments.len())?;
        let moments = std::mem::take(&mut self.moments);
        let joined = values.into_iter().zip(gradients).zip(moments);
        Ok(joined.map(|((value, gradient), m)| m.slot(value.inner(), gradient)).collect())
    }

    fn advance(&mut self, slots: Vec<ParameterState>, constants: &Constants) -> Result<Vec<Tensor<1>>> {
        let on_host = slots.first().is_some_and(|slot| slot.value.device() == Device::flex());
        let done: Vec<ParameterState> = if on_host {
            slots.into_par_iter().map(|slot| fused(slot, constants)).collect::<Result<_>>()?
        } else {
            slots.into_iter().map(|slot| composed(slot, constants)).collect()
        };
        let (values, moments) = done.into_iter().map(MomentEstimates::split).unzip();
        self.moments = moments;
        Ok(values)
    }
}

impl MomentEstimates {
    fn zeros(like: &Tensor<1>) -> Self {
        Self { first: like.zeros_like(), second: like.zeros_like() }
    }

    fn slot(self, value: Tensor<1>, gradient: Tensor<1>) -> ParameterState {
        ParameterState { value, gradient, first: self.first, second: self.second }
    }

    fn split(slot: ParameterState) -> (Tensor<1>, Self) {
        (slot.value, Self { first: slot.first, second: slot.second })
    }
}

fn check_count(what: &'static str, found: usize, wanted: usize) -> Result<()> {
    if found == wanted { Ok(()) } else { Err(Error::Count { what, found, wanted }) }
}
