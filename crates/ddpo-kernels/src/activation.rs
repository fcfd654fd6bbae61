//! Pointwise functions.

use burn::tensor::Tensor;

use crate::{
    composed,
    ops::{self, Function},
};

/// `x · sigmoid(x)`, on a tensor of any shape.
pub fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ops::map(&x, Function::Silu).unwrap_or_else(|| composed::silu(x))
}

/// The exact GELU, `x · Φ(x)` with `Φ` the normal distribution function, on a tensor of any shape.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ops::map(&x, Function::Gelu).unwrap_or_else(|| composed::gelu(x))
}

/// CLIP's approximation of GELU, `x · sigmoid(1.702 x)`, on a tensor of any shape.
pub fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    ops::map(&x, Function::QuickGelu).unwrap_or_else(|| composed::quick_gelu(x))
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
    ops::geglu(&x).unwrap_or_else(|| composed::geglu(x))
}
