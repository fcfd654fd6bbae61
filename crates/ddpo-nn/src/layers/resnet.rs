//! The residual block of UNet and VAE (diffusers' `ResnetBlock2D`).

use burn::tensor::Tensor;
use ddpo_kernels::Activation;

use super::{Conv, GroupNorm, Linear};
use crate::params::{ParamScope, Weights};

/// The sizes of a residual block.
#[derive(Clone, Copy, Debug)]
pub struct ResnetShape {
    /// Channels of the input.
    pub inputs: usize,
    /// Channels of the output.
    pub outputs: usize,
    /// The width of the time embedding; none in a VAE.
    pub time: Option<usize>,
    /// Groups of the norms.
    pub groups: usize,
    /// Epsilon of the norms.
    pub epsilon: f64,
    /// What the sum is divided by.
    pub output_scale: f64,
}

/// norm, SiLU, convolution, time shift, norm, SiLU, convolution, plus the input.
#[derive(Clone, Debug)]
pub struct Resnet {
    norm1: GroupNorm,
    conv1: Conv,
    time: Option<Linear>,
    norm2: GroupNorm,
    conv2: Conv,
    shortcut: Option<Linear>,
    output_scale: f64,
}

impl Resnet {
    /// The block of these sizes; where the channels change, a 1x1 convolution takes the input to the sum.
    pub fn new(scope: &mut ParamScope<'_>, shape: ResnetShape) -> Self {
        let ResnetShape { inputs, outputs, time, groups, epsilon, output_scale } = shape;
        Self {
            norm1: GroupNorm::new(&mut scope.child("norm1"), inputs, groups, epsilon),
            conv1: Conv::same(&mut scope.child("conv1"), inputs, outputs, 3),
            time: time.map(|width| Linear::new(&mut scope.child("time_emb_proj"), width, outputs)),
            norm2: GroupNorm::new(&mut scope.child("norm2"), outputs, groups, epsilon),
            conv2: Conv::same(&mut scope.child("conv2"), outputs, outputs, 3),
            shortcut: (inputs != outputs)
                .then(|| Linear::pointwise(&mut scope.child("conv_shortcut"), inputs, outputs)),
            output_scale,
        }
    }

    /// # Shapes
    ///
    /// - `x`: `[B, H, W, inputs]`, `time`: `[B, width]` after its SiLU
    /// - result: `[B, H, W, outputs]`
    pub fn forward(&self, weights: &Weights, x: Tensor<4>, time: Option<&Tensor<2>>) -> Tensor<4> {
        let hidden = self.norm1.forward(weights, x.clone(), Activation::Silu);
        let mut hidden = self.conv1.forward(weights, hidden);
        if let (Some(layer), Some(time)) = (&self.time, time) {
            let shift: Tensor<2> = layer.forward(weights, time.clone());
            hidden = hidden + shift.unsqueeze_dims::<4>(&[1, 2]);
        }
        let hidden = self.norm2.forward(weights, hidden, Activation::Silu);
        let hidden = self.conv2.forward(weights, hidden);
        let input = match &self.shortcut {
            Some(layer) => layer.forward(weights, x),
            None => x,
        };
        let sum = input + hidden;
        if self.output_scale == 1.0 { sum } else { sum.div_scalar(self.output_scale) }
    }
}
