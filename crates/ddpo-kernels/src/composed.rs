//! Every operation composed of Burn's own: the path of all devices but the CPU, and what the CPU
//! kernels are tested against.

use burn::tensor::{Bool, Int, Tensor, TensorData, activation, module, ops::ConvOptions};

use crate::{Activation, Conv2dOptions, Mask, Padding, Weight};

pub(crate) fn linear<const D: usize>(x: Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Tensor<D> {
    let mut shape = x.dims();
    let [k, n] = weight.dims();
    let rows = x.shape().num_elements() / k.max(1);
    let y = x.reshape([rows, k]).matmul(weight.value());
    let y = match bias {
        Some(bias) => y + bias.clone().reshape([1, n]),
        None => y,
    };
    shape[D - 1] = n;
    y.reshape(shape)
}

pub(crate) fn conv2d(x: Tensor<4>, weight: &Weight, bias: Option<&Tensor<1>>, options: Conv2dOptions) -> Tensor<4> {
    let [_, _, _, channels] = x.dims();
    let [_, n] = weight.dims();
    let [kh, kw] = options.kernel;
    let Padding { top, bottom, left, right } = options.padding;
    let kernel = weight.value().reshape([kh, kw, channels, n]).permute([3, 2, 0, 1]);
    let x = x.permute([0, 3, 1, 2]).pad([(top, bottom), (left, right)], 0.0);
    let stride = [options.stride; 2];
    let geometry = ConvOptions::new(stride, [0, 0], [1, 1], 1);
    module::conv2d(x, kernel, bias.cloned(), geometry).permute([0, 2, 3, 1])
}

pub(crate) fn group_norm(
    x: Tensor<4>,
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
    groups: usize,
    epsilon: f64,
    act: Activation,
) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let grouped =
        x.reshape([b, h * w, groups, c / groups]).permute([0, 2, 1, 3]).reshape([b, groups, h * w * c / groups]);
    let normal = standardise(grouped, epsilon)
        .reshape([b, groups, h * w, c / groups])
        .permute([0, 2, 1, 3])
        .reshape([b, h, w, c]);
    let y = normal * gamma.clone().reshape([1, 1, 1, c]) + beta.clone().reshape([1, 1, 1, c]);
    match act {
        Activation::None => y,
        Activation::Silu => silu(y),
    }
}

pub(crate) fn layer_norm<const D: usize>(x: Tensor<D>, gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let mut shape = [1; D];
    shape[D - 1] = x.dims()[D - 1];
    standardise(x, epsilon) * gamma.clone().reshape(shape) + beta.clone().reshape(shape)
}

/// Zero mean and unit (biased) variance over the last axis.
fn standardise<const D: usize>(x: Tensor<D>, epsilon: f64) -> Tensor<D> {
    let centred = x.clone() - x.mean_dim(D - 1);
    let variance = centred.clone().powi_scalar(2).mean_dim(D - 1);
    centred / (variance + epsilon).sqrt()
}

pub(crate) fn attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize, mask: Mask) -> Tensor<3> {
    let [b, t, c] = q.dims();
    let [_, s, _] = k.dims();
    let d = c / heads;
    let split = |x: Tensor<3>, length| x.reshape([b, length, heads, d]).swap_dims(1, 2);
    let scores = split(q, t).matmul(split(k, s).swap_dims(2, 3)) * (d as f64).powf(-0.5);
    let scores = match mask {
        Mask::None => scores,
        Mask::Causal => {
            let hidden = Tensor::<2, Bool>::tril_mask([t, s], 0, &scores.device());
            scores.mask_fill(hidden.reshape([1, 1, t, s]), f32::NEG_INFINITY)
        }
    };
    activation::softmax(scores, 3).matmul(split(v, s)).swap_dims(1, 2).reshape([b, t, c])
}

/// Samples `rows` of a batch.
pub(crate) fn samples(x: Tensor<3>, rows: &[usize]) -> Tensor<3> {
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let count = rows.len();
    let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &x.device());
    x.select(0, rows)
}

pub(crate) fn silu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::silu(x)
}

pub(crate) fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

pub(crate) fn quick_gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.clone() * activation::sigmoid(x * 1.702)
}

pub(crate) fn geglu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let half = x.dims()[D - 1] / 2;
    let gate = x.clone().narrow(D - 1, half, half);
    x.narrow(D - 1, 0, half) * gelu(gate)
}

pub(crate) fn upsample_nearest_2x(x: Tensor<4>) -> Tensor<4> {
    let [b, h, w, c] = x.dims();
    let x: Tensor<6> = x.reshape([b, h, 1, w, 1, c]);
    x.expand([b, h, 2, w, 2, c]).reshape([b, 2 * h, 2 * w, c])
}
