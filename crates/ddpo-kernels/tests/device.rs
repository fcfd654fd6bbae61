//! Every operation on a GPU, or on software that stands in for one, against the processor's kernels: values and gradients.
//!
//! The device is Burn's default of the backends that are built in.

use burn::tensor::{DType, Device, Tensor, TensorData};
use ddpo_kernels::{
    Activation, Conv2dOptions, Mask, Padding, Weight, attention, cast, conv2d, deferred, geglu, gelu, group_norm,
    layer_norm, linear, quick_gelu, shared_attention, silu, upsample_nearest_2x,
};

/// Three inputs of the sizes that an operation wants.
type Inputs<const A: usize, const B: usize, const C: usize> = (Tensor<A>, Tensor<B>, Tensor<C>);

/// A tensor of values in `-1..1` that depend on `seed` alone.
fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    });
    Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), shape), &Device::flex())
}

fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.inner().try_into_vec_as::<f32>().unwrap()
}

/// The value of `f` and the gradients of its three inputs under a fixed random cotangent, on one device.
fn all<const A: usize, const B: usize, const C: usize, const D: usize>(
    (a, b, c): Inputs<A, B, C>,
    device: &Device,
    f: &impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<D>,
) -> [Vec<f32>; 4] {
    let (a, b, c) = (a.to_device(device).autodiff(), b.to_device(device).autodiff(), c.to_device(device).autodiff());
    let (a, b, c) = (a.require_grad(), b.require_grad(), c.require_grad());
    let value = f(a.clone(), b.clone(), c.clone());
    let cotangent = random(99, value.dims()).to_device(device).autodiff();
    let gradients = (value.clone() * cotangent).sum().backward();
    let gradient = |found: Option<Vec<f32>>| found.unwrap_or_default();
    [
        values(value),
        gradient(a.grad(&gradients).map(values)),
        gradient(b.grad(&gradients).map(values)),
        gradient(c.grad(&gradients).map(values)),
    ]
}

/// Fails unless the device has the processor's values and gradients to 1e-3 of the largest.
#[track_caller]
fn same<const A: usize, const B: usize, const C: usize, const D: usize>(
    inputs: Inputs<A, B, C>,
    f: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<D>,
) {
    let wanted = all(inputs.clone(), &Device::flex(), &f);
    let found = all(inputs, &Device::default(), &f);
    for (part, (found, wanted)) in ["value", "first", "second", "third"].iter().zip(found.iter().zip(&wanted)) {
        assert_eq!(found.len(), wanted.len(), "{part}");
        let scale = wanted.iter().fold(1e-3_f32, |most, value| most.max(value.abs()));
        for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
            assert!((f - w).abs() <= 1e-3 * scale, "{part} {i}: {f}, wanted {w} of at most {scale}");
        }
    }
}

#[test]
fn the_device_is_another() {
    assert_ne!(Device::default(), Device::flex());
}

#[test]
fn linear_layers() {
    let inputs = (random(1, [3, 5, 24]), random(2, [24, 20]), random(3, [20]));
    same(inputs.clone(), |x: Tensor<3>, w, b: Tensor<1>| linear(x, &Weight::trainable(w), Some(&b)));
    same(inputs, |x: Tensor<3>, w: Tensor<2>, b: Tensor<1>| linear(x, &Weight::frozen(w.inner()), Some(&b)));
}

#[test]
fn convolutions() {
    for (kernel, stride, padding) in [(3, 1, Padding::same(1)), (3, 2, Padding::same(1)), (1, 1, Padding::same(0))] {
        let options = Conv2dOptions { kernel: [kernel; 2], stride, padding };
        let inputs = (random(1, [2, 8, 8, 12]), random(2, [kernel * kernel * 12, 16]), random(3, [16]));
        same(inputs, |x, w, b: Tensor<1>| conv2d(x, &Weight::trainable(w), Some(&b), options));
    }
}

#[test]
fn norms() {
    let inputs = (random(1, [2, 4, 4, 16]), random(2, [16]), random(3, [16]));
    for activation in [Activation::None, Activation::Silu] {
        same(inputs.clone(), |x, g: Tensor<1>, b: Tensor<1>| group_norm(x, &g, &b, 4, 1e-5, activation));
    }
    same(inputs, |x: Tensor<4>, g: Tensor<1>, b: Tensor<1>| layer_norm(x, &g, &b, 1e-5));
}

#[test]
fn attentions() {
    let inputs = (random(1, [2, 20, 32]), random(2, [2, 12, 32]), random(3, [2, 12, 32]));
    same(inputs, |q, k, v| attention(q, k, v, 4, Mask::None));
    let inputs = (random(1, [2, 12, 32]), random(2, [2, 12, 32]), random(3, [2, 12, 32]));
    same(inputs, |q, k, v| attention(q, k, v, 4, Mask::Causal));
    let inputs = (random(1, [3, 20, 32]), random(2, [2, 12, 32]), random(3, [2, 12, 32]));
    same(inputs, |q, k, v| shared_attention(q, k, v, 4, &[1, 0, 1].into()));
    // As long as those of a Stable Diffusion model: more than one block of a fused kernel.
    let inputs = (random(1, [1, 256, 80]), random(2, [1, 77, 80]), random(3, [1, 77, 80]));
    same(inputs, |q, k, v| attention(q, k, v, 2, Mask::None));
}

#[test]
fn pointwise_functions() {
    let inputs = (random(1, [4, 16]).mul_scalar(4.0), random(2, [1]), random(3, [1]));
    same(inputs.clone(), |x, _, _| silu(x));
    same(inputs.clone(), |x, _, _| gelu(x));
    same(inputs.clone(), |x, _, _| quick_gelu(x));
    same(inputs, |x, _, _| geglu(x));
    same((random(1, [2, 3, 4, 5]), random(2, [1]), random(3, [1])), |x, _, _| upsample_nearest_2x(x));
}

#[test]
fn deferred_gradients_are_those_of_their_maker() {
    let inputs = (random(1, [7]), random(2, [1]), random(3, [1]));
    same(inputs, |x: Tensor<1>, _, _| {
        let value = x.clone().inner().powi_scalar(2);
        let twice = x.clone().inner().mul_scalar(2.0);
        deferred(x, &value, move |gradient: Tensor<1>| Some(gradient * twice.clone()))
    });
}

/// In half precision a product has that format, its gradients that of what they are of, and both are near those in `f32`.
#[test]
fn half_precision_is_near_full_precision() {
    let device = Device::default();
    for format in [DType::F16, DType::BF16].into_iter().filter(|format| device.supports_dtype(*format)) {
        let frozen = random(2, [24, 20]).to_device(&device);
        let (x, factor) = (random(1, [6, 24]), random(4, [20, 4]));
        let run = |half: bool| {
            let [x, factor] = [&x, &factor].map(|x| x.clone().to_device(&device).autodiff().require_grad());
            let matrix = if half { frozen.clone().cast(format) } else { frozen.clone() };
            let y = linear(x.clone(), &Weight::frozen(matrix), None);
            assert_eq!(y.dtype(), if half { format } else { DType::F32 });
            let y = cast(linear(y, &Weight::trainable(factor.clone()), None), DType::F32);
            let gradients = y.clone().powi_scalar(2).sum().backward();
            let gradients = [x.grad(&gradients).unwrap(), factor.grad(&gradients).unwrap()];
            assert!(gradients.iter().all(|gradient| gradient.dtype() == DType::F32));
            let [of_x, of_factor] = gradients.map(values);
            [values(y), of_x, of_factor]
        };
        for (found, wanted) in run(true).iter().zip(&run(false)) {
            let scale = wanted.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            assert!(found.iter().zip(wanted).all(|(f, w)| (f - w).abs() <= 0.03 * scale), "{format:?}");
        }
    }
}
