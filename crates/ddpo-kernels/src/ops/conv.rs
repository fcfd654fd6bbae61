//! Convolution.

use burn::tensor::Tensor;

use super::matrix::{FullMatrix, HalfMatrix, Matrix};
use crate::{
    Conv2dOptions, Weight,
    cpu::{
        conv::{Geometry, Images, OutputRows, convolve},
        conv_input::{Phase, input_gradient, phases},
        conv_weight::weight_gradient,
        half,
        linear::row_sum,
        winograd::{self, Tiles},
    },
    graph::{Array, Operation, Tracked, apply, on_cpu},
    simd::Level,
};

/// The operation on the CPU, or `None` where it must be composed.
pub(crate) fn conv2d(
    x: &Tensor<4>,
    weight: &Weight,
    bias: Option<&Tensor<1>>,
    options: Conv2dOptions,
) -> Option<Tensor<4>> {
    if !on_cpu(x) || !bias.is_none_or(on_cpu) {
        return None;
    }
    let matrix = Matrix::of(weight)?;
    let value = matrix.is_input().then(|| weight.value());
    let [batch, height, width, channels] = x.dims();
    let images = Images { batch, height, width, channels };
    let output = options.output(height, width);
    let geometry = Geometry {
        kernel: options.kernel,
        stride: options.stride,
        before: [options.padding.top as isize, options.padding.left as isize],
        output,
        place: OutputRows::all(output),
    };
    let op = Conv { level: Level::current(), images, geometry, matrix, bias: bias.is_some() };
    Some(apply(x.clone(), value, bias.cloned(), op))
}

#[derive(Debug)]
struct Conv {
    level: Level,
    images: Images,
    geometry: Geometry,
    matrix: Matrix,
    bias: bool,
}

impl Operation for Conv {
    fn forward(&self, inputs: &[Array], tracked: Tracked) -> (Array, Vec<Array>) {
        let x = inputs[0].values();
        let (weight, bias) = self.matrix.positions(self.bias);
        let bias = bias.map(|i| inputs[i].values());
        let columns = self.matrix.columns(inputs);
        let values = match &self.matrix {
            Matrix::Full(matrix) => {
                let tiles = Tiles::best(self.images, self.geometry, columns);
                matrix.forward(inputs, tiles, |panels| match tiles {
                    Some(tiles) => winograd::convolve(self.level, x, self.images, self.geometry, tiles, panels, bias),
                    None => convolve(self.level, x, self.images, self.geometry, panels, bias),
                })
            }
            Matrix::Half(matrix) => {
                let tiles = Tiles::best(self.images, self.geometry, columns);
                match matrix.tiles(tiles, self.outputs()) {
                    Some(tiles) => matrix.widened(tiles, |panels| {
                        winograd::convolve(self.level, x, self.images, self.geometry, tiles, panels, bias)
                    }),
                    None => {
                        let (unit, panels) = matrix.forward();
                        half::convolve((self.level, unit), x, self.images, self.geometry, panels, bias)
                    }
                }
            }
        };
        let shape = self.output(columns).shape();
        let saved = match weight {
            Some(i) => {
                let x = tracked[i].then(|| inputs[0].clone());
                x.into_iter().chain(tracked[0].then(|| inputs[i].clone())).collect()
            }
            None => Vec::new(),
        };
        (Array::new(values, &shape), saved)
    }

    fn backward(&self, saved: &[Array], g: Array, tracked: Tracked) -> [Option<Array>; 3] {
        let mut gradients = [const { None }; 3];
        let (weight, bias) = self.matrix.positions(self.bias);
        let n = g.last();
        let mut saved = saved.iter();
        if let Some(i) = weight.filter(|&i| tracked[i])
            && let Some(x) = saved.next()
        {
            let (x, g) = (x.values(), g.values());
            let values = match Tiles::best(self.images, self.geometry, n) {
                Some(tiles) => winograd::weight_gradient(self.level, x, self.images, self.geometry, tiles, g, n),
                None => weight_gradient(self.level, x, self.images, self.geometry, g, n),
            };
            gradients[i] = Some(Array::new(values, &[self.positions() * self.images.channels, n]));
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

impl Conv {
    /// The gradient of `x`.
    fn full_gradient(&self, matrix: &FullMatrix, value: Option<&Array>, g: &Array) -> Option<Array> {
        let phases = phases(self.geometry, self.images);
        let outputs = self.output(g.last());
        // The only phase of a stride of 1; of a larger one the first, whose outputs are not next to each other.
        let first = phases[0].geometry;
        let tiles = Tiles::best(outputs, first, self.images.channels);
        matrix.adjoint(value, self.positions(), taps(&phases), tiles, |panels| {
            let g = g.values();
            let values = match tiles {
                Some(tiles) => winograd::convolve(self.level, g, outputs, first, tiles, &panels[0], None),
                None => input_gradient(self.level, g, outputs, self.images, &phases, panels),
            };
            Array::new(values, &self.images.shape())
        })
    }

    fn half_gradient(&self, matrix: &HalfMatrix, g: &Array) -> Array {
        let phases = phases(self.geometry, self.images);
        let outputs = self.output(g.last());
        let first = phases[0].geometry;
        let tiles = Tiles::best(outputs, first, self.images.channels);
        let (positions, taps) = (self.positions(), taps(&phases));
        let values = match matrix.tiles(tiles, first.output.iter().product()) {
            Some(tiles) => matrix.widened_adjoint(positions, taps, tiles, |panels| {
                winograd::convolve(self.level, g.values(), outputs, first, tiles, &panels[0], None)
            }),
            None => matrix.adjoint(positions, taps, |unit, panels| {
                let with = (self.level, unit);
                half::input_gradient(with, g.values(), outputs, self.images, &phases, panels)
            }),
        };
        Array::new(values, &self.images.shape())
    }

    /// Outputs of an image.
    fn outputs(&self) -> usize {
        self.geometry.output.iter().product()
    }

    /// Positions of the kernel.
    fn positions(&self) -> usize {
        self.geometry.kernel.iter().product()
    }

    /// The result, as images.
    fn output(&self, channels: usize) -> Images {
        let [height, width] = self.geometry.output;
        Images { batch: self.images.batch, height, width, channels }
    }
}

/// The positions of the kernel that each phase uses.
fn taps(phases: &[Phase]) -> Vec<Vec<usize>> {
    phases.iter().map(|phase| phase.taps.clone()).collect()
}
