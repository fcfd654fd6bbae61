//! The parametrised layers of one operation each.

use burn::tensor::{DType, Tensor};
use ddpo_kernels::{Activation, Conv2dOptions, Padding};

use crate::params::{Init, Layout, ParamId, ParamScope, Weights};

/// `y = x W + b`, with the low-rank terms of its adapters if it has any.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: ParamId,
    bias: Option<ParamId>,
}

impl Linear {
    /// A layer with bias and PyTorch's initial distribution.
    pub fn new(scope: &mut ParamScope<'_>, inputs: usize, outputs: usize) -> Self {
        let mut layer = Self::without_bias(scope, inputs, outputs);
        layer.bias = Some(scope.param("bias", &[outputs], Layout::Vector, Init::Uniform(bound(inputs))));
        layer
    }

    /// A layer without bias and with PyTorch's initial distribution.
    pub fn without_bias(scope: &mut ParamScope<'_>, inputs: usize, outputs: usize) -> Self {
        let weight = scope.param("weight", &[outputs, inputs], Layout::Linear, Init::Uniform(bound(inputs)));
        Self { weight, bias: None }
    }

    /// A layer with a normal weight and a bias of zeros, as CLIP starts.
    pub fn normal(scope: &mut ParamScope<'_>, inputs: usize, outputs: usize, std: f64) -> Self {
        let weight = scope.param("weight", &[outputs, inputs], Layout::Linear, Init::Normal(std));
        let bias = scope.param("bias", &[outputs], Layout::Vector, Init::Zeros);
        Self { weight, bias: Some(bias) }
    }

    /// A 1x1 convolution of the files, which is this layer on channels-last images.
    pub fn pointwise(scope: &mut ParamScope<'_>, inputs: usize, outputs: usize) -> Self {
        let init = Init::Uniform(bound(inputs));
        let weight = scope.param("weight", &[outputs, inputs, 1, 1], Layout::Linear, init);
        let bias = scope.param("bias", &[outputs], Layout::Vector, init);
        Self { weight, bias: Some(bias) }
    }

    /// Whether the weight is held in bf16.
    pub(super) fn is_half(&self, weights: &Weights) -> bool {
        weights.matrix(self.weight).format() == DType::BF16
    }

    /// # Shapes
    ///
    /// `[.., inputs] -> [.., outputs]`
    pub fn forward<const D: usize>(&self, weights: &Weights, x: Tensor<D>) -> Tensor<D> {
        let bias = self.bias.map(|id| weights.vector(id));
        let matrix = weights.matrix(self.weight);
        // The terms first: the order in which `x` is used is that in which its gradients are added.
        let terms: Vec<_> = weights.terms(self.weight).iter().map(|term| term.apply(x.clone())).collect();
        terms.into_iter().fold(ddpo_kernels::linear(x, &matrix, bias.as_ref()), |sum, term| {
            let format = sum.dtype();
            sum + ddpo_kernels::cast(term, format)
        })
    }

    /// The gated unit `a · gelu(b)` for `[a, b]`, the layer's result.
    ///
    /// # Shapes
    ///
    /// `[.., inputs] -> [.., outputs / 2]`
    pub fn forward_geglu<const D: usize>(&self, weights: &Weights, x: Tensor<D>) -> Tensor<D> {
        if !weights.terms(self.weight).is_empty() {
            return ddpo_kernels::geglu(self.forward(weights, x));
        }
        let bias = self.bias.map(|id| weights.vector(id));
        ddpo_kernels::linear_geglu(x, &weights.matrix(self.weight), bias.as_ref())
    }
}

/// A square convolution with bias.
#[derive(Clone, Debug)]
pub struct Conv {
    weight: ParamId,
    bias: ParamId,
    options: Conv2dOptions,
}

impl Conv {
    /// A convolution of stride 1 that keeps the size; `kernel` is odd.
    pub fn same(scope: &mut ParamScope<'_>, inputs: usize, outputs: usize, kernel: usize) -> Self {
        Self::new(scope, inputs, outputs, kernel, 1, Padding::same(kernel / 2))
    }

    /// A convolution with this stride and padding, and PyTorch's initial distribution.
    pub fn new(
        scope: &mut ParamScope<'_>,
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: Padding,
    ) -> Self {
        let init = Init::Uniform(bound(inputs * kernel * kernel));
        let weight = scope.param("weight", &[outputs, inputs, kernel, kernel], Layout::Conv, init);
        let bias = scope.param("bias", &[outputs], Layout::Vector, init);
        Self { weight, bias, options: Conv2dOptions { kernel: [kernel; 2], stride, padding } }
    }

    /// # Shapes
    ///
    /// `[B, H, W, inputs] -> [B, H', W', outputs]`
    pub fn forward(&self, weights: &Weights, x: Tensor<4>) -> Tensor<4> {
        ddpo_kernels::conv2d(x, &weights.matrix(self.weight), Some(&weights.vector(self.bias)), self.options)
    }
}

/// Normalisation over groups of channels of a whole image.
#[derive(Clone, Debug)]
pub struct GroupNorm {
    gain: ParamId,
    bias: ParamId,
    groups: usize,
    epsilon: f64,
}

impl GroupNorm {
    /// A norm of `channels` in `groups`, which divide them; gains of one and biases of zero.
    pub fn new(scope: &mut ParamScope<'_>, channels: usize, groups: usize, epsilon: f64) -> Self {
        let (gain, bias) = affine(scope, channels);
        Self { gain, bias, groups, epsilon }
    }

    /// A number of groups that divides all `channels`: a power of two, at most 8.
    pub fn common_groups(channels: &[usize]) -> usize {
        let fits = |groups: &usize| channels.iter().all(|channels| channels.is_multiple_of(*groups));
        [8, 4, 2].into_iter().find(fits).unwrap_or(1)
    }

    /// # Shapes
    ///
    /// `[B, H, W, C] -> [B, H, W, C]`
    pub fn forward(&self, weights: &Weights, x: Tensor<4>, activation: Activation) -> Tensor<4> {
        let (gain, bias) = (weights.vector(self.gain), weights.vector(self.bias));
        ddpo_kernels::group_norm(x, &gain, &bias, self.groups, self.epsilon, activation)
    }
}

/// Normalisation over the last axis.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    gain: ParamId,
    bias: ParamId,
    epsilon: f64,
}

impl LayerNorm {
    /// A norm of `channels`; gains of one and biases of zero.
    pub fn new(scope: &mut ParamScope<'_>, channels: usize, epsilon: f64) -> Self {
        let (gain, bias) = affine(scope, channels);
        Self { gain, bias, epsilon }
    }

    /// # Shapes
    ///
    /// `[.., C] -> [.., C]`
    pub fn forward<const D: usize>(&self, weights: &Weights, x: Tensor<D>) -> Tensor<D> {
        ddpo_kernels::layer_norm(x, &weights.vector(self.gain), &weights.vector(self.bias), self.epsilon)
    }
}

/// A convolution of stride 2 named `conv`; padding 0 stands for one row below and one column to the right, as in
/// diffusers' `Downsample2D`.
pub fn downsample(scope: &mut ParamScope<'_>, channels: usize, padding: usize) -> Conv {
    let padding = match padding {
        0 => Padding { top: 0, bottom: 1, left: 0, right: 1 },
        pixels => Padding::same(pixels),
    };
    Conv::new(&mut scope.child("conv"), channels, channels, 3, 2, padding)
}

/// Doubles an image by repetition, then crops it to `[height, width]`.
///
/// For a size that is the doubled one or one less this is diffusers' nearest interpolation to that size.
pub fn upsample_to(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    crop(ddpo_kernels::upsample_nearest_2x(x), size)
}

/// The upper left part of an image.
fn crop(x: Tensor<4>, [height, width]: [usize; 2]) -> Tensor<4> {
    let [_, h, w, _] = x.dims();
    if [h, w] == [height, width] { x } else { x.narrow(1, 0, height).narrow(2, 0, width) }
}

fn affine(scope: &mut ParamScope<'_>, channels: usize) -> (ParamId, ParamId) {
    let gain = scope.param("weight", &[channels], Layout::Vector, Init::Ones);
    let bias = scope.param("bias", &[channels], Layout::Vector, Init::Zeros);
    (gain, bias)
}

/// PyTorch's default: `kaiming_uniform(a = sqrt 5)` is uniform within one over the root of the fan-in.
fn bound(fan_in: usize) -> f64 {
    1.0 / (fan_in.max(1) as f64).sqrt()
}
