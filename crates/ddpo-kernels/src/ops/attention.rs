//! Scaled dot-product attention.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::{
    Mask,
    cpu::{
        attention::{Known, Shape, backward, forward, half_backward, half_forward},
        half::Unit,
    },
    graph::{Array, Operation, Tracked, apply, constant, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed; `rows` are the samples of the keys that those of the
/// queries look at, each at its own if there are none. `half` asks for products in bf16.
pub(crate) fn attention(
    q: &Tensor<3>,
    k: &Tensor<3>,
    v: &Tensor<3>,
    heads: usize,
    mask: Mask,
    rows: Option<&Arc<[usize]>>,
    half: bool,
) -> Option<Tensor<3>> {
    let [batch, queries, channels] = q.dims();
    if channels == 0 || ![q, k, v].into_iter().all(on_cpu) {
        return None;
    }
    let keys = k.dims()[1];
    let shape = Shape { batch, queries, keys, heads, depth: channels / heads, mask };
    let unit = half.then(Unit::current);
    let op = Attention { level: Level::current(), unit, shape, rows: rows.cloned() };
    Some(apply(q.clone(), Some(k.clone()), Some(v.clone()), op))
}

/// The first sample of each kind of a constant's samples, and the kind of each sample.
pub(crate) fn distinct(x: &Tensor<3>) -> Option<(Vec<usize>, Vec<usize>)> {
    let array = (!x.is_tracked()).then(|| constant(x)).flatten()?;
    let [batch, ..] = x.dims();
    let size = array.values().len().checked_div(batch)?.max(1);
    let samples: Vec<&[f32]> = array.values().chunks(size).collect();
    let mut first: Vec<usize> = Vec::new();
    let kind = |sample| {
        first.iter().position(|&known| samples[known] == samples[sample]).unwrap_or_else(|| {
            first.push(sample);
            first.len() - 1
        })
    };
    let kinds = (0..samples.len()).map(kind).collect();
    Some((first, kinds))
}

#[derive(Debug)]
struct Attention {
    level: Level,
    /// What multiplies bf16, where the value is computed in it.
    unit: Option<Unit>,
    shape: Shape,
    rows: Option<Arc<[usize]>>,
}

impl Operation for Attention {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let [q, k, v] = [0, 1, 2].map(|i| inputs[i].values());
        let rows = self.rows.as_deref();
        let mut saved = if tracked.contains(&true) { inputs.to_vec() } else { Vec::new() };
        let mut log_sums = (self.shape.is_chunked() && !saved.is_empty()).then(|| self.shape.per_query());
        let known = log_sums.as_deref_mut();
        let value = match self.unit {
            Some(unit) => half_forward((self.level, unit), [q, k, v], self.shape, rows, known),
            None => forward(self.level, [q, k, v], self.shape, rows, known),
        };
        let value = Array::new(value, inputs[0].shape());
        if let Some(log_sums) = log_sums {
            let length = log_sums.len();
            saved.extend([value.clone(), Array::new(log_sums, &[length])]);
        }
        (value, saved)
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let inputs = [0, 1, 2].map(|i| saved[i].values());
        let known = saved.get(3).zip(saved.get(4));
        let known = known.map(|(value, log_sums)| Known { value: value.values(), log_sums: log_sums.values() });
        let (level, shape, rows) = (self.level, self.shape, self.rows.as_deref());
        let mut gradients = match (self.unit, known) {
            (Some(unit), Some(known)) => half_backward((level, unit), inputs, known, g.values(), shape, rows, tracked),
            // Over few keys the gradient of a value in bf16 is that of the value in f32.
            (_, known) => backward(level, inputs, known, g.values(), shape, rows, tracked),
        };
        std::array::from_fn(|i| gradients[i].take().map(|x| Array::new(x, saved[i].shape())))
    }
}
