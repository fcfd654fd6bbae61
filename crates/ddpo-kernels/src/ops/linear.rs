//! `x W + b`, and a gated unit right behind it.

use burn::tensor::Tensor;

use super::matrix::{FullMatrix, HalfMatrix, Matrix};
use crate::{
    Weight,
    cpu::{
        gated, half,
        linear::{matrix_gradient, multiply, row_sum},
        pointwise,
    },
    graph::{Array, Operation, Tracked, apply, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn linear<const D: usize>(x: &Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Option<Tensor<D>> {
    let (op, value) = Linear::of(x, weight, bias)?;
    Some(apply(x.clone(), value, bias.cloned(), op))
}

/// The operation with a gated unit behind it, on the CPU, or `None` where it must be composed.
pub(crate) fn linear_geglu<const D: usize>(
    x: &Tensor<D>,
    weight: &Weight,
    bias: Option<&Tensor<1>>,
) -> Option<Tensor<D>> {
    let (op, value) = Linear::of(x, weight, bias)?;
    gated::fits(weight.dims()[1]).then(|| apply(x.clone(), value, bias.cloned(), Gated(op)))
}

#[derive(Debug)]
struct Linear {
    level: Level,
    matrix: Matrix,
    bias: bool,
}

impl Linear {
    /// The operation, and its matrix where that is an input.
    fn of<const D: usize>(
        x: &Tensor<D>,
        weight: &Weight,
        bias: Option<&Tensor<1>>,
    ) -> Option<(Self, Option<Tensor<2>>)> {
        if !on_cpu(x) || !bias.is_none_or(on_cpu) {
            return None;
        }
        let matrix = Matrix::of(weight)?;
        let value = matrix.is_input().then(|| weight.value());
        Some((Self { level: Level::current(), matrix, bias: bias.is_some() }, value))
    }
}

impl Operation for Linear {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let x = &inputs[0];
        let (weight, bias) = self.matrix.positions(self.bias);
        let bias = bias.map(|i| inputs[i].values());
        let n = self.matrix.columns(inputs);
        let rows = rows(x);
        let values = match &self.matrix {
            Matrix::Full(matrix) => {
                matrix.forward(inputs, None, |panels| multiply(self.level, x.values(), rows, panels, bias))
            }
            Matrix::Half(matrix) => {
                let (unit, panels) = matrix.forward();
                half::multiply((self.level, unit), x.values(), rows, panels, bias)
            }
        };
        (Array::new(values, &with_last(x, n)), self.keep(inputs, weight, tracked))
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
            gradients[0] = match &self.matrix {
                Matrix::Full(matrix) => self.full_gradient(matrix, saved.next(), &g),
                Matrix::Half(matrix) => Some(self.half_gradient(matrix, &g)),
            };
        }
        if let Some(i) = bias.filter(|&i| tracked[i]) {
            gradients[i] = Some(Array::new(row_sum(self.level, g.values(), n), &[n]));
        }
        gradients
    }
}

impl Linear {
    /// The gradient of `x`.
    fn full_gradient(&self, matrix: &FullMatrix, value: Option<&Array>, g: &Array) -> Option<Array> {
        matrix.adjoint(value, 1, vec![vec![0]], None, |panels| {
            let values = multiply(self.level, g.values(), rows(g), &panels[0], None);
            Array::new(values, &with_last(g, panels[0].columns()))
        })
    }

    fn half_gradient(&self, matrix: &HalfMatrix, g: &Array) -> Array {
        matrix.adjoint(1, vec![vec![0]], |unit, panels| {
            let values = half::multiply((self.level, unit), g.values(), rows(g), &panels[0], None);
            Array::new(values, &with_last(g, panels[0].columns()))
        })
    }

    /// `x` for the gradient of the matrix, and the matrix for that of `x`.
    fn keep(&self, inputs: &[Array], weight: Option<usize>, tracked: Tracked) -> Vec<Array> {
        let Some(i) = weight else { return Vec::new() };
        let x = tracked[i].then(|| inputs[0].clone());
        let matrix = tracked[0].then(|| inputs[i].clone());
        x.into_iter().chain(matrix).collect()
    }
}

/// The gated unit behind a linear layer. Without gradients its two factors are never in memory as a whole.
#[derive(Debug)]
struct Gated(Linear);

impl Operation for Gated {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let Linear { level, matrix, bias } = &self.0;
        let half = matrix.columns(inputs) / 2;
        if tracked.contains(&true) {
            let (hidden, mut saved) = self.0.forward(inputs, tracked);
            let values = pointwise::geglu(*level, hidden.values(), half);
            let value = Array::new(values, &with_last(&hidden, half));
            saved.push(hidden);
            return (value, saved);
        }
        let x = &inputs[0];
        let bias = matrix.positions(*bias).1.map(|i| inputs[i].values());
        let values = match matrix {
            Matrix::Full(matrix) => {
                matrix.forward(inputs, None, |panels| gated::multiply(*level, x.values(), rows(x), panels, bias))
            }
            Matrix::Half(matrix) => {
                let (unit, panels) = matrix.forward();
                half::multiply_gated((*level, unit), x.values(), rows(x), panels, bias)
            }
        };
        (Array::new(values, &with_last(x, half)), Vec::new())
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let Some((hidden, saved)) = saved.split_last() else { return [const { None }; 3] };
        let values = pointwise::geglu_gradient(self.0.level, hidden.values(), g.values(), g.last());
        self.0.backward(saved, Array::new(values, hidden.shape()), tracked)
    }
}

/// Rows of a matrix of all but the last axis.
fn rows(x: &Array) -> usize {
    x.values().len() / x.last().max(1)
}

/// The shape of `x` with another last axis.
fn with_last(x: &Array, length: usize) -> Vec<usize> {
    let mut shape = x.shape().to_vec();
    if let Some(last) = shape.last_mut() {
        *last = length;
    }
    shape
}
