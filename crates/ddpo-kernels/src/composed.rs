//! Every operation composed of Burn's own: the path of all devices but the CPU, and what the CPU
//! kernels are tested against.

//!
//! A product is computed in half precision where the input or the weight is in it, the input's format first; its bias
//! follows. Norms and the softmax are computed in `f32` and return the format of their input. A gradient comes back in the
//! format of what it is of, because Burn's casts are part of the graph.

use burn::tensor::{
    Bool, DType, Int, Tensor, TensorData, activation, module,
    ops::{AttentionModuleOptions, ConvOptions},
};

use crate::{Activation, Conv2dOptions, Mask, Padding, Weight, cast, deferred};

/// An input and a weight in the format of their product.
fn matched<const D: usize>(x: Tensor<D>, weight: &Weight) -> (Tensor<D>, Tensor<2>) {
    let weight = weight.value();
    let format = if x.dtype() == DType::F32 { weight.dtype() } else { x.dtype() };
    (cast(x, format), cast(weight, format))
}

/// `f` in `f32`, whatever the format of `x`, which is that of the result.
fn in_f32<const D: usize>(x: Tensor<D>, f: impl FnOnce(Tensor<D>) -> Tensor<D>) -> Tensor<D> {
    let format = x.dtype();
    cast(f(cast(x, DType::F32)), format)
}

pub(crate) fn linear<const D: usize>(x: Tensor<D>, weight: &Weight, bias: Option<&Tensor<1>>) -> Tensor<D> {
    let mut shape = x.dims();
    let (x, matrix) = matched(x, weight);
    let [k, n] = weight.dims();
    let rows = x.shape().num_elements() / k.max(1);
    let y = x.reshape([rows, k]).matmul(matrix);
    let y = match bias {
        Some(bias) => {
            let format = y.dtype();
            y + cast(bias.clone(), format).reshape([1, n])
        }
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
    let (x, matrix) = matched(x, weight);
    let kernel = matrix.reshape([kh, kw, channels, n]).permute([3, 2, 0, 1]);
    let x = x.permute([0, 3, 1, 2]).pad([(top, bottom), (left, right)], 0.0);
    let stride = [options.stride; 2];
    let geometry = ConvOptions::new(stride, [0, 0], [1, 1], 1);
    let bias = bias.map(|bias| cast(bias.clone(), x.dtype()));
    module::conv2d(x, kernel, bias, geometry).permute([0, 2, 3, 1])
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
    in_f32(x, |x| {
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
    })
}

pub(crate) fn layer_norm<const D: usize>(x: Tensor<D>, gamma: &Tensor<1>, beta: &Tensor<1>, epsilon: f64) -> Tensor<D> {
    let mut shape = [1; D];
    shape[D - 1] = x.dims()[D - 1];
    in_f32(x, |x| standardise(x, epsilon) * gamma.clone().reshape(shape) + beta.clone().reshape(shape))
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
    in_f32(scores, |scores| activation::softmax(scores, 3)).matmul(split(v, s)).swap_dims(1, 2).reshape([b, t, c])
}

/// [`attention`] that never has all scores in memory where the device has a kernel for that; where a gradient is wanted it
/// is computed from the inputs when it is asked for, so that none are kept for it either.
pub(crate) fn fused_attention(q: Tensor<3>, k: Tensor<3>, v: Tensor<3>, heads: usize) -> Tensor<3> {
    let ([b, t, c], [_, s, _]) = (q.dims(), k.dims());
    let split = |x: &Tensor<3>, length: usize| {
        x.clone().without_autodiff().reshape([b, length, heads, c / heads]).swap_dims(1, 2)
    };
    let value =
        module::attention(split(&q, t), split(&k, s), split(&v, s), None, None, AttentionModuleOptions::default())
            .swap_dims(1, 2)
            .reshape([b, t, c]);
    let inputs = [q, k, v];
    if !inputs.iter().any(Tensor::is_autodiff) {
        return value;
    }
    let constants = inputs.each_ref().map(|x| x.clone().without_autodiff());
    let tracked = inputs.each_ref().map(Tensor::is_autodiff);
    let parameters: Vec<Tensor<1>> = inputs.into_iter().filter(Tensor::is_autodiff).map(|x| x.flatten(0, 2)).collect();
    deferred(Tensor::cat(parameters, 0), &value, move |gradient: Tensor<3>| {
        let leaf = |(x, tracked): (Tensor<3>, bool)| if tracked { x.autodiff().require_grad() } else { x };
        let [q, k, v] = [0, 1, 2].map(|i| leaf((constants[i].clone(), tracked[i])));
        let leaves: Vec<Tensor<3>> = [&q, &k, &v].into_iter().filter(|x| x.is_autodiff()).cloned().collect();
        let value = attention(q, k, v, heads, Mask::None);
        let mut gradients = (value * gradient).sum().backward();
        let parts = leaves.iter().map(|leaf| Some(leaf.grad_remove(&mut gradients)?.flatten(0, 2)));
        Some(Tensor::cat(parts.collect::<Option<Vec<Tensor<1>>>>()?, 0))
    })
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
