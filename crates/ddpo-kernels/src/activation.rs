//! Pointwise functions.

use burn::tensor::Tensor;

use crate::composed;

/// `x · sigmoid(x)`, on a tensor of any shape.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    composed::silu(x)
}

/// The exact GELU, `x · Φ(x)` with `Φ` the normal distribution function, on a tensor of any shape.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    composed::gelu(x)
}

/// CLIP's approximation of GELU, `x · sigmoid(1.702 x)`, on a tensor of any shape.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    composed::quick_gelu(x)
}

/// The gated unit of the transformer's feed-forward layer: `a · gelu(b)` for `x = [a, b]`.
///
/// # Shapes
///
/// - `x`: `[.., 2C]`
/// - result: `[.., C]`
///
/// # Panics
///
/// If the last axis is odd.
pub fn geglu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let last = x.dims()[D - 1];
    assert!(last.is_multiple_of(2), "geglu: last axis {last}, wanted an even length");
    composed::geglu(x)
}
