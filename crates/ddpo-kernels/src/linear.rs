//! Matrix products with a weight.

use burn::tensor::Tensor;

use crate::{Weight, composed, geglu, ops};

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
    check(&x, weight, bias);
    ops::linear(&x, weight, bias).unwrap_or_else(|| composed::linear(x, weight, bias))
}

/// [`geglu`](crate::geglu) of [`linear`], with the same bits. Without gradients the layer's result is never in memory as a whole.
///
/// # Shapes
///
/// - `x`: `[.., K]`, `weight`: `[K, 2N]`, `bias`: `[2N]`
/// - result: `[.., N]`
///
/// # Panics
///
/// As [`linear`], and if the weight has an odd number of columns.
pub fn linear_geglu<const D: usize>(x: Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Tensor<D> {
    check(&x, weight, bias);
    ops::linear_geglu(&x, weight, bias).unwrap_or_else(|| geglu(linear(x, weight, bias)))
}

#[track_caller]
fn check<const D: usize>(x: &Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) {
    let [k, n] = weight.dims();
    assert_eq!(x.dims()[D - 1], k, "linear: last axis of x, against the rows of the weight");
    if let Some(bias) = bias {
        assert_eq!(bias.dims(), [n], "linear: bias, against the columns of the weight");
    }
}
