//! Scaled dot-product attention.

use burn::tensor::Tensor;

use crate::{
    Mask,
    cpu::attention::{Shape, backward, forward},
    graph::{Array, Operation, Tracked, apply, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn attention(q: &Tensor<3>, k: &Tensor<3>, v: &Tensor<3>, heads: usize, mask: Mask) -> Option<Tensor<3>> {
    let [batch, queries, channels] = q.dims();
    if channels == 0 || ![q, k, v].into_iter().all(on_cpu) {
        return None;
    }
    let keys = k.dims()[1];
    let shape = Shape { batch, queries, keys, heads, depth: channels / heads, mask };
    let op = Attention { level: Level::current(), shape };
    Some(apply(q.clone(), Some(k.clone()), Some(v.clone()), op))
}

#[derive(Debug)]
struct Attention {
    level: Level,
    shape: Shape,
}

impl Operation for Attention {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i].values());
        let values = forward(self.level, q, k, v, self.shape);
        let keep = tracked.contains(&true);
        let saved = if keep { inputs.to_vec() } else { Vec::new() };
        (Array::new(values, inputs[0].shape()), saved)
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let inputs = [0, 1, 2].map(|i| saved[i].values());
        let mut gradients = backward(self.level, inputs, g.values(), self.shape, tracked);
        std::array::from_fn(|i| gradients[i].take().map(|x| Array::new(x, saved[i].shape())))
    }
}
