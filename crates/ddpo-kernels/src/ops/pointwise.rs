//! Operations with one input.

use burn::tensor::Tensor;

pub(crate) use crate::cpu::pointwise::Function;
use crate::{
    cpu::{conv::Images, pointwise, resample},
    graph::{Array, Operation, Tracked, on_cpu, unary},
    simd::Level,
};

/// A function of each value on the CPU, or `None` where it must be composed.
pub(crate) fn map<const D: usize>(x: &Tensor<D>, function: Function) -> Option<Tensor<D>> {
    on_cpu(x).then(|| unary(x.clone(), Map { level: Level::current(), function }))
}

/// The gated unit on the CPU, or `None` where it must be composed.
pub(crate) fn geglu<const D: usize>(x: &Tensor<D>) -> Option<Tensor<D>> {
    on_cpu(x).then(|| unary(x.clone(), Geglu { level: Level::current() }))
}

/// Nearest-neighbour upsampling on the CPU, or `None` where it must be composed.
pub(crate) fn upsample_nearest_2x(x: &Tensor<4>) -> Option<Tensor<4>> {
    let [batch, height, width, channels] = x.dims();
    let images = Images { batch, height, width, channels };
    (on_cpu(x) && images.len() > 0).then(|| unary(x.clone(), Upsample { images }))
}

/// The input, if its gradient will be asked for.
fn keep(inputs: &[Array], tracked: Tracked) -> Vec<Array> {
    if tracked[0] { inputs.to_vec() } else { Vec::new() }
}

#[derive(Debug)]
struct Map {
    level: Level,
    function: Function,
}

impl Operation for Map {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let values = pointwise::map(self.level, self.function, inputs[0].values());
        (Array::new(values, inputs[0].shape()), keep(inputs, tracked))
    }

    fn backward(&self, saved: &[Array], g: Array, _: Tracked) -> [Option<Array>; 3] {
        let (x, g) = (saved[0].values(), g.values());
        let values = pointwise::map_gradient(self.level, self.function, x, g);
        [Some(Array::new(values, saved[0].shape())), None, None]
    }
}

#[derive(Debug)]
struct Geglu {
    level: Level,
}

impl Operation for Geglu {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let x = &inputs[0];
        let half = x.last() / 2;
        let mut shape = x.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = half;
        }
        let values = pointwise::geglu(self.level, x.values(), half);
        (Array::new(values, &shape), keep(inputs, tracked))
    }

    fn backward(&self, saved: &[Array], g: Array, _: Tracked) -> [Option<Array>; 3] {
        let x = &saved[0];
        let values = pointwise::geglu_gradient(self.level, x.values(), g.values(), x.last() / 2);
        [Some(Array::new(values, x.shape())), None, None]
    }
}

#[derive(Debug)]
struct Upsample {
    images: Images,
}

impl Operation for Upsample {
    fn forward(&self, inputs: &[Array], _: Tracked) -> (Array, Vec<Array>) {
        let [batch, height, width, channels] = self.images.shape();
        let values = resample::upsample(inputs[0].values(), self.images);
        (Array::new(values, &[batch, 2 * height, 2 * width, channels]), Vec::new())
    }

    fn backward(&self, _: &[Array], g: Array, _: Tracked) -> [Option<Array>; 3] {
        let values = resample::upsample_gradient(g.values(), self.images);
        [Some(Array::new(values, &self.images.shape())), None, None]
    }
}
