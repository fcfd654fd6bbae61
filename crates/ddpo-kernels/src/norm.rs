//! Group and layer normalisation.

use burn::tensor::Tensor;

use crate::{Activation, composed, ops};

/// Group normalisation over pixels and the channels of a group, then a pointwise function:
/// `act((x - mean) / sqrt(var + epsilon) · gamma + beta)`, with the biased variance.
///
/// # Shapes
///
/// - `x`: `[B, H, W, C]`, `gamma` and `beta`: `[C]`
/// - result: `[B, H, W, C]`
///
/// # Panics
///
/// If `groups` does not divide `C`, or `gamma` or `beta` is not `C` long.
pub fn group_norm(
    x: Tensor<4>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    groups: usize,
    epsilon: f64,
    activation: Activation,
) -> Tensor<4> {
    let channels = x.dims()[3];
    assert!(
        groups > 0 && channels.is_multiple_of(groups),
        "group_norm: {channels} channels in {groups} groups, wanted a multiple"
    );
    assert_eq!(gamma.dims(), [channels], "group_norm: gamma, against the channels of x");
    assert_eq!(beta.dims(), [channels], "group_norm: beta, against the channels of x");
    ops::group_norm(&x, gamma, beta, groups, epsilon, activation)
        .unwrap_or_else(|| composed::group_norm(x, gamma, beta, groups, epsilon, activation))
}

/// Normalisation over the last axis: `(x - mean) / sqrt(var + epsilon) · gamma + beta`, with the
/// biased variance.
///
/// # Shapes
///
/// - `x`: `[.., C]`, `gamma` and `beta`: `[C]`
/// - result: `[.., C]`
///
/// # Panics
///
/// If `gamma` or `beta` is not `C` long.
pub fn layer_norm<const D: usize>(x: Tensor<D>, gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let channels = x.dims()[D - 1];
    assert_eq!(gamma.dims(), [channels], "layer_norm: gamma, against the last axis of x");
    assert_eq!(beta.dims(), [channels], "layer_norm: beta, against the last axis of x");
    ops::layer_norm(&x, gamma, beta, epsilon).unwrap_or_else(|| composed::layer_norm(x, gamma, beta, epsilon))
}
