//! `x W + b`.

use burn::tensor::Tensor;

use super::matrix::Matrix;
use crate::{
    Weight,
    cpu::linear::{matrix_gradient, multiply, row_sum},
    graph::{Array, Operation, Tracked, apply, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn linear<const D: usize>(x: &Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Option<Tensor<D>> {
    if !on_cpu(x) || !bias.is_none_or(on_cpu) {
        return None;
    }
    let matrix = Matrix::of(weight)?;
    let value = matches!(matrix, Matrix::Input).then(|| weight.value());
    let op = Linear { level: Level::current(), matrix, bias: bias.is_some() };
    Some(apply(x.clone(), value, bias.cloned(), op))
}

#[derive(Debug)]
struct Linear {
    level: Level,
    matrix: Matrix,
    bias: bool,
}

impl Operation for Linear {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let x = &inputs[0];
        let (weight, bias) = self.matrix.positions(self.bias);
        let bias = bias.map(|i| inputs[i].values());
        let n = self.matrix.columns(inputs);
        let values = self.matrix.forward(inputs, None, |panels| {
            let rows = x.values().len() / panels.rows().max(1);
            multiply(self.level, x.values(), rows, panels, bias)
        });
        let mut shape = x.shape().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = n;
        }
        (Array::new(values, &shape), self.keep(inputs, weight, tracked))
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let mut gradients = [const { None }; 3];
        let (weight, bias) = self.matrix.positions(self.bias);
        let n = g.last();
        let mut saved = saved.iter();
        if let Some(i) = weight.filter(|&i| tracked[i])
            && let Some(x) = saved.next()
        {
            let k = x.last();
            let values = matrix_gradient(self.level, x.values(), g.values(), k, n);
            gradients[i] = Some(Array::new(values, &[k, n]));
        }
        if tracked[0] {
            gradients[0] = self.matrix.adjoint(saved.next(), 1, vec![vec![0]], None, |panels| {
                let panels = &panels[0];
                let rows = g.values().len() / n.max(1);
                let mut shape = g.shape().to_vec();
                if let Some(last) = shape.last_mut() {
                    *last = panels.columns();
                }
                Array::new(multiply(self.level, g.values(), rows, panels, None), &shape)
            });
        }
        if let Some(i) = bias.filter(|&i| tracked[i]) {
            gradients[i] = Some(Array::new(row_sum(self.level, g.values(), n), &[n]));
        }
        gradients
    }
}

impl Linear {
    /// `x` for the gradient of the matrix, and the matrix for that of `x`.
    fn keep(&self, inputs: &[Array], weight: Option<usize>, tracked: Tracked) -> Vec<Array> {
        let Some(i) = weight else { return Vec::new() };
        let x = tracked[i].then(|| inputs[0].clone());
        let matrix = tracked[0].then(|| inputs[i].clone());
        x.into_iter().chain(matrix).collect()
    }
}
