//! Convolution.

use burn::tensor::Tensor;

use super::matrix::Matrix;
use crate::{
    Conv2dOptions, Weight,
    cpu::{
        conv::{Geometry, Images, OutputRows, convolve},
        conv_input::{input_gradient, phases},
        conv_weight::weight_gradient,
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
    let value = matches!(matrix, Matrix::Input).then(|| weight.value());
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
        let tiles = Tiles::best(self.images, self.geometry, columns);
        let values = self.matrix.forward(inputs, tiles, |panels| match tiles {
            Some(tiles) => winograd::convolve(self.level, x, self.images, self.geometry, tiles, panels, bias),
            None => convolve(self.level, x, self.images, self.geometry, panels, bias),
        });
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
        let [kh, kw] = self.geometry.kernel;
        let mut saved = saved.iter();
        if let Some(i) = weight.filter(|&i| tracked[i])
            && let Some(x) = saved.next()
        {
            let (x, g) = (x.values(), g.values());
            let values = weight_gradient(self.level, x, self.images, self.geometry, g, n);
            gradients[i] = Some(Array::new(values, &[kh * kw * self.images.channels, n]));
        }
        if tracked[0] {
            let phases = phases(self.geometry, self.images);
            let taps = phases.iter().map(|phase| phase.taps.clone()).collect();
            let outputs = self.output(n);
            // The only phase of a stride of 1; of a larger one the first, whose outputs are not next to each other.
            let first = phases[0].geometry;
            let tiles = Tiles::best(outputs, first, self.images.channels);
            gradients[0] = self.matrix.adjoint(saved.next(), kh * kw, taps, tiles, |panels| {
                let g = g.values();
                let values = match tiles {
                    Some(tiles) => winograd::convolve(self.level, g, outputs, first, tiles, &panels[0], None),
                    None => input_gradient(self.level, g, outputs, self.images, &phases, panels),
                };
                Array::new(values, &self.images.shape())
            });
        }
        if let Some(i) = bias.filter(|&i| tracked[i]) {
            gradients[i] = Some(Array::new(row_sum(self.level, g.values(), n), &[n]));
        }
        gradients
    }
}

impl Conv {
    /// The result, as images.
    fn output(&self, channels: usize) -> Images {
        let [height, width] = self.geometry.output;
        Images { batch: self.images.batch, height, width, channels }
    }
}
