//! Matrix products with a weight.

use burn::tensor::Tensor;

use crate::{Weight, composed, ops};

/// `y = x W + b` over the last axis.
///
/// # Shapes
///
/// - `x`: `[.., K]`, `weight`: `[K, N]`, `bias`: `[N]`
/// - result: `[.., N]`
///
/// # Panics
///
/// If the last axis of `x` is not `K`, or `bias` is not `N` long.
pub fn linear<const D: usize>(x: Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Tensor<D> {
    let [k, n] = weight.dims();
    assert_eq!(x.dims()[D - 1], k, "linear: last axis of x, against the rows of the weight");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [n], "linear: bias, against the columns of the weight");
    }
    ops::linear(&x, weight, bias).unwrap_or_else(|| composed::linear(x, weight, bias))
}
