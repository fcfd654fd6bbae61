//! Two-dimensional convolution on channels-last images.

use burn::tensor::Tensor;

use crate::{Conv2dOptions, Weight, composed, ops};

/// Two-dimensional convolution (cross-correlation, as in PyTorch).
///
/// # Shapes
///
/// - `x`: `[B, H, W, C_in]`
/// - `weight`: `[kh·kw·C_in, C_out]`, rows in the order kernel row, kernel column, channel
/// - `bias`: `[C_out]`
/// - result: `[B, H', W', C_out]` with `H', W'` from [`Conv2dOptions::output`]
///
/// # Panics
///
/// If the shapes above do not fit.
pub fn conv2d(x: Tensor<4>, weight: &Weight, bias: Option<&Tensor<1>>, options: Conv2dOptions) -> Tensor<4> {
    let [_, h, w, channels] = x.dims();
    let [k, n] = weight.dims();
    let [kh, kw] = options.kernel;
    assert_eq!(kh * kw * channels, k, "conv2d: kernel area times channels of x, against the rows of the weight");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [n], "conv2d: bias, against the columns of the weight");
    }
    options.output(h, w);
    if options == Conv2dOptions::POINTWISE {
        return crate::linear(x, weight, bias);
    }
    ops::conv2d(&x, weight, bias, options).unwrap_or_else(|| composed::conv2d(x, weight, bias, options))
}
