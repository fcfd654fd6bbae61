//! Group and layer normalisation.

use burn::tensor::Tensor;

use crate::{
    Activation,
    cpu::{
        group_norm::{self, Shape},
        layer_norm,
    },
    graph::{Array, Operation, Tracked, apply, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn group_norm(
    x: &Tensor<4>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    groups: usize,
    epsilon: f64,
    activation: Activation,
) -> Option<Tensor<4>> {
    if !(on_cpu(x) && on_cpu(gamma) && on_cpu(beta)) {
        return None;
    }
    let [batch, height, width, channels] = x.dims();
    let shape = Shape { batch, pixels: height * width, channels, groups, epsilon, activation };
    let op = GroupNorm { level: Level::current(), shape };
    Some(apply(x.clone(), Some(gamma.clone()), Some(beta.clone()), op))
}

#[derive(Debug)]
struct GroupNorm {
    level: Level,
    shape: Shape,
}

impl Operation for GroupNorm {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i].values());
        let (values, moments) = group_norm::forward(self.level, x, gamma, beta, self.shape);
        let value = Array::new(values, inputs[0].shape());
        if !tracked.contains(&true) {
            return (value, Vec::new());
        }
        let length = moments.len();
        let moments = Array::new(moments, &[length]);
        (value, inputs.iter().cloned().chain([moments]).collect())
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let [x, gamma, beta, moments] = [0, 1, 2, 3].map(|i| saved[i].values());
        let all = group_norm::backward(self.level, x, gamma, beta, moments, g.values(), self.shape);
        only(tracked, all, saved)
    }
}

/// Wraps the gradients of the tracked inputs, each in the shape of its input.
fn only(tracked: Tracked, gradients: [Vec<f32>; 3], inputs: &[Array]) -> [Option<Array>; 3] {
    let mut gradients = gradients.map(Some);
    std::array::from_fn(|i| {
        let gradient = gradients[i].take().filter(|_| tracked[i]);
        gradient.map(|values| Array::new(values, inputs[i].shape()))
    })
}

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn layer_norm<const D: usize>(
    x: &Tensor<D>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    epsilon: f64,
) -> Option<Tensor<D>> {
    if !(on_cpu(x) && on_cpu(gamma) && on_cpu(beta)) {
        return None;
    }
    let op = LayerNorm { level: Level::current(), epsilon: epsilon as f32 };
    Some(apply(x.clone(), Some(gamma.clone()), Some(beta.clone()), op))
}

#[derive(Debug)]
struct LayerNorm {
    level: Level,
    epsilon: f32,
}

impl Operation for LayerNorm {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let [x, gamma, beta] = [0, 1, 2].map(|i| inputs[i].values());
        let values = layer_norm::forward(self.level, x, gamma, beta, self.epsilon);
        let keep = tracked.contains(&true);
        let saved = if keep { inputs.to_vec() } else { Vec::new() };
        (Array::new(values, inputs[0].shape()), saved)
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let (x, gamma) = (saved[0].values(), saved[1].values());
        let all = layer_norm::backward(self.level, x, gamma, g.values(), self.epsilon);
        only(tracked, all, saved)
    }
}
