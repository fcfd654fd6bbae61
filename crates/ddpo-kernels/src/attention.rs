//! Scaled dot-product attention with heads side by side in the channel axis.

use std::sync::Arc;

use burn::tensor::Tensor;

use crate::{Mask, composed, ops};

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
    check([&q, &k, &v], q.dims()[0], heads);
    ops::attention(&q, &k, &v, heads, mask, None, false).unwrap_or_else(|| match mask {
        Mask::None => composed::fused_attention(q, k, v, heads),
        Mask::Causal => composed::attention(q, k, v, heads, mask),
    })
}

/// [`attention`] without a mask, of samples that share keys and values: sample `i` of the queries looks at sample
/// `rows[i]` of the keys.
///
/// # Shapes
///
/// - `q`: `[B, T, H·d]`, `k` and `v`: `[U, S, H·d]`, `rows`: `B` indices below `U`
/// - result: `[B, T, H·d]`
///
/// # Panics
///
/// As [`attention`], and if `rows` are not `B` indices of samples of the keys.
pub fn shared_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, rows: &Arc<[usize]>) -> Tensor<3> {
    image_attention(q, k, v, heads, Some(rows), false)
}

/// [`attention`] without a mask, or [`shared_attention`] of `rows`, whose value the CPU computes with products in bf16: what goes with
/// weights in bf16, between which images are in `f32` there. So are the products of its gradient over more than 1,024 keys; over fewer the
/// gradient is that of the value in `f32`. On other devices the format is that of the queries.
///
/// # Shapes
///
/// Those of [`attention`] or of [`shared_attention`].
///
/// # Panics
///
/// Where they do.
pub fn half_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    rows: Option<&Arc<[usize]>>,
) -> Tensor<3> {
    image_attention(q, k, v, heads, rows, true)
}

fn image_attention(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    rows: Option<&Arc<[usize]>>,
    half: bool,
) -> Tensor<3> {
    let (b, u) = (q.dims()[0], k.dims()[0]);
    check([&q, &k, &v], if rows.is_some() { u } else { b }, heads);
    if let Some(rows) = rows {
        assert_eq!(rows.len(), b, "attention: rows, against the batch of the queries");
        assert!(rows.iter().all(|&row| row < u), "attention: rows {rows:?}, wanted indices below {u}");
    }
    ops::attention(&q, &k, &v, heads, Mask::None, rows, half).unwrap_or_else(|| {
        let [k, v] = match rows {
            Some(rows) => [k, v].map(|x| composed::samples(x, rows)),
            None => [k, v],
        };
        composed::fused_attention(q, k, v, heads)
    })
}

/// Fails unless the heads divide the channels and there are keys and values of `samples` samples.
fn check([q, k, v]: [&Tensor<3>; 3], samples: usize, heads: usize) {
    let ([_, _, c], [_, s, _]) = (q.dims(), k.dims());
    assert!(heads > 0 && c.is_multiple_of(heads), "attention: {c} channels in {heads} heads, wanted a multiple");
    assert!(s > 0, "attention: no keys, wanted at least one");
    assert_eq!(k.dims(), [samples, s, c], "attention: keys, against the batch and channels of the queries");
    assert_eq!(v.dims(), [samples, s, c], "attention: values, against the keys");
}

/// The different samples of a constant `[B, S, C]`, and which of them each sample is; `None` if all differ, or where
/// looking would cost more than it saves: on other devices than the CPU.
pub fn distinct(x: &Tensor<3>) -> Option<(Tensor<3>, Arc<[usize]>)> {
    let [b, s, c] = x.dims();
    let (first, rows) = ops::distinct(x)?;
    let some_are_equal = first.len() < b && s * c > 0;
    some_are_equal.then(|| (composed::samples(x.clone(), &first), rows.into()))
}
