//! Floating-point formats.

use burn::tensor::{DType, Tensor};

/// A tensor in another floating-point format. One that is in it stays as it is, with nothing new in its graph; otherwise the
/// gradient is brought back to the format of `x`.
pub fn cast<const D: usize>(x: Tensor<D>, format: DType) -> Tensor<D> {
    if x.dtype() == format { x } else { x.cast(format) }
}
