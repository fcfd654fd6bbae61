//! One AdamW step of one parameter, twice: fused over host memory, and composed of tensor operations.
//!
//! Both compute, in f32 with constants prepared in f64 and in the order of `torch.optim.AdamW`,
//! θ ← θ(1 − ηλ); m ← m + (1 − β₁)(g − m); v ← β₂v + (1 − β₂)g²; θ ← θ − η/(1 − β₁ᵗ) · m / (√v/√(1 − β₂ᵗ) + ε).
//! Burn's own AdamW keeps β in f32, which puts 1 − β₂ off by 1.3e-5, and passes over memory sixteen times.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use crate::error::{Error, Result};

/// Values of one parallel task; a parameter larger than this is split.
const CHUNK: usize = 1 << 15;

/// The constants of one step, the same for every parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Constants {
    /// What the summed gradient is multiplied with: 1/weight, and clipping.
    pub scale: f64,
    /// 1 − ηλ.
    pub keep: f64,
    /// β₂.
    pub beta_2: f64,
    /// 1 − β₁.
    pub one_minus_beta_1: f64,
    /// 1 − β₂.
    pub one_minus_beta_2: f64,
    /// √(1 − β₂ᵗ).
    pub bias_2_root: f64,
    /// ε.
    pub epsilon: f64,
    /// η/(1 − β₁ᵗ).
    pub step_size: f64,
}

/// A parameter on its way through a step; the moments are on the parameter's device, without autodiff.
pub(super) struct ParameterState {
    pub value: Tensor<1>,
    pub gradient: Tensor<1>,
    pub first: Tensor<1>,
    pub second: Tensor<1>,
}

/// The step in host memory, one pass; the moments are updated in place where nothing else holds them.
pub(super) fn fused(slot: ParameterState, c: &Constants) -> Result<ParameterState> {
    let device = slot.value.device();
    let mut value = slot.value.try_into_data().map_err(Error::device)?;
    let gradient = slot.gradient.try_into_data().map_err(Error::device)?;
    let mut first = slot.first.try_into_data().map_err(Error::device)?;
    let mut second = slot.second.try_into_data().map_err(Error::device)?;
    (
        host_mut(&mut value)?.par_chunks_mut(CHUNK),
        host(&gradient)?.par_chunks(CHUNK),
        host_mut(&mut first)?.par_chunks_mut(CHUNK),
        host_mut(&mut second)?.par_chunks_mut(CHUNK),
    )
        .into_par_iter()
        .for_each(|(value, gradient, first, second)| fused_chunk(value, gradient, first, second, c));
    Ok(ParameterState {
        value: Tensor::from_data(value, &device),
        gradient: Tensor::from_data(gradient, &device),
        first: Tensor::from_data(first, &device),
        second: Tensor::from_data(second, &device),
    })
}

fn fused_chunk(value: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], c: &Constants) {
    let (scale, keep, beta_2) = (c.scale as f32, c.keep as f32, c.beta_2 as f32);
    let (rest_1, rest_2) = (c.one_minus_beta_1 as f32, c.one_minus_beta_2 as f32);
    let (root, epsilon, step) = (c.bias_2_root as f32, c.epsilon as f32, c.step_size as f32);
    for (((p, g), m), v) in value.iter_mut().zip(gradient).zip(first).zip(second) {
        let g = g * scale;
        *m += (g - *m) * rest_1;
        *v = *v * beta_2 + g * g * rest_2;
        let denominator = v.sqrt() / root + epsilon;
        *p = *p * keep - *m / denominator * step;
    }
}

/// The step in tensor operations, for every other device.
pub(super) fn composed(slot: ParameterState, c: &Constants) -> ParameterState {
    let ParameterState { value, gradient, first, second } = slot;
    let g = gradient.clone().mul_scalar(c.scale);
    let first = first.clone() + (g.clone() - first).mul_scalar(c.one_minus_beta_1);
    let second = second.mul_scalar(c.beta_2) + (g.clone() * g).mul_scalar(c.one_minus_beta_2);
    let denominator = second.clone().sqrt().div_scalar(c.bias_2_root).add_scalar(c.epsilon);
    let value = value.mul_scalar(c.keep) - (first.clone() / denominator).mul_scalar(c.step_size);
    ParameterState { value, gradient, first, second }
}

/// The f32 values of host data.
pub(super) fn host(data: &TensorData) -> Result<&[f32]> {
    data.as_slice::<f32>().map_err(Error::device)
}

fn host_mut(data: &mut TensorData) -> Result<&mut [f32]> {
    data.as_mut_slice::<f32>().map_err(Error::device)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    fn slot() -> ParameterState {
        let make = |f: fn(f32) -> f32| {
            let values: Vec<f32> = (1..=1000).map(|i| f(i as f32)).collect();
            Tensor::from_data(TensorData::new(values, [1000]), &Device::flex())
        };
        ParameterState {
            value: make(|i| (i * 0.37).sin()),
            gradient: make(|i| (i * 0.91).cos()),
            first: make(|i| (i * 0.13).sin() * 0.1),
            second: make(|i| (i * 0.29).sin().abs() * 0.01),
        }
    }

    #[test]
    fn the_composed_step_is_the_fused_one() {
        let constants = Constants {
            scale: 0.7,
            keep: 0.9999,
            beta_2: 0.999,
            one_minus_beta_1: 0.1,
            one_minus_beta_2: 0.001,
            bias_2_root: 0.1,
            epsilon: 1e-8,
            step_size: 1e-3,
        };
        let (fused, composed) = (fused(slot(), &constants).unwrap(), composed(slot(), &constants));
        let pairs = [(fused.value, composed.value), (fused.first, composed.first), (fused.second, composed.second)];
        for (fused, composed) in pairs {
            let read = |tensor: Tensor<1>| tensor.into_data().try_into_vec::<f32>().unwrap();
            for (fused, composed) in read(fused).into_iter().zip(read(composed)) {
                assert!((fused - composed).abs() <= 1e-6 * composed.abs().max(0.1), "{fused} {composed}");
            }
        }
    }
}
