//! Scaled dot-product attention with heads side by side in the channel axis.

use burn::tensor::Tensor;

use crate::{composed, ops};

/// Which keys a query may look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mask {
    /// All of them.
    #[default]
    None,
    /// Those at its own position and before.
    Causal,
}

/// `softmax(q kᵀ / sqrt(d)) v` for each head.
///
/// # Shapes
///
/// - `q`: `[B, T, H·d]`, `k` and `v`: `[B, S, H·d]`, head `h` in channels `h·d..(h+1)·d`
/// - result: `[B, T, H·d]`
///
/// # Panics
///
/// If `heads` does not divide the channels, the shapes above do not fit, or `S` is zero.
pub fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, mask: Mask) -> Tensor<3> {
    let [b, _, c] = q.dims();
    let [_, s, _] = k.dims();
    assert!(heads > 0 && c.is_multiple_of(heads), "attention: {c} channels in {heads} heads, wanted a multiple");
    assert!(s > 0, "attention: no keys, wanted at least one");
    assert_eq!(k.dims(), [b, s, c], "attention: keys, against the batch and channels of the queries");
    assert_eq!(v.dims(), [b, s, c], "attention: values, against the keys");
    ops::attention(&q, &k, &v, heads, mask).unwrap_or_else(|| composed::attention(q, k, v, heads, mask))
}
