//! Random tensors, and comparisons of values and gradients.

use burn::tensor::{Device, Tensor, TensorData};

use crate::simd::forced::each_level;

/// A tensor of values in `-1..1` that depend on `seed` alone.
pub(super) fn random<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d;
    let values = (0..shape.iter().product::<usize>()).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    });
    let data = TensorData::new(values.collect::<Vec<f32>>(), shape);
    Tensor::from_data(data, &Device::flex())
}

/// A tracked leaf with the same values.
pub(super) fn leaf<const D: usize>(x: &Tensor<D>) -> Tensor<D> {
    x.clone().autodiff().require_grad()
}

/// The values.
pub(super) fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().try_into_vec::<f32>().unwrap()
}

/// The gradients of up to three leaves of `Σ y · r` for some fixed random `r`.
pub(super) fn gradients<const D: usize, const A: usize, const B: usize, const C: usize>(
    y: Tensor<D>,
    a: &Tensor<A>,
    b: &Tensor<B>,
    c: &Tensor<C>,
) -> [Option<Vec<f32>>; 3] {
    let grads = (y.clone() * random(99, y.dims())).sum().backward();
    [a.grad(&grads).map(values), b.grad(&grads).map(values), c.grad(&grads).map(values)]
}

/// Fails unless two vectors agree to `tolerance`, relative to the largest value expected.
#[track_caller]
pub(super) fn close(found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len());
    let scale = wanted.iter().fold(1.0_f32, |m, v| m.max(v.abs()));
    for (i, (f, w)) in found.iter().zip(wanted).enumerate() {
        assert!((f - w).abs() <= tolerance * scale, "value {i}: {f}, wanted {w} of at most {scale}");
    }
}

/// Fails unless a function of three tensors has the values and gradients of its composed twin, on
/// every vector unit.
#[track_caller]
pub(super) fn same<const D: usize, const A: usize, const B: usize, const C: usize>(
    (a, b, c): (Tensor<A>, Tensor<B>, Tensor<C>),
    tolerance: f32,
    fast: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<D>,
    composed: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<D>,
) {
    let (x, y, z) = (leaf(&a), leaf(&b), leaf(&c));
    let value = composed(x.clone(), y.clone(), z.clone());
    let wanted = values(value.clone().inner());
    let wanted_gradients = gradients(value, &x, &y, &z);
    each_level(|_| {
        close(&values(fast(a.clone(), b.clone(), c.clone())), &wanted, tolerance);
        let (x, y, z) = (leaf(&a), leaf(&b), leaf(&c));
        let value = fast(x.clone(), y.clone(), z.clone());
        close(&values(value.clone().inner()), &wanted, tolerance);
        for (found, wanted) in gradients(value, &x, &y, &z).iter().zip(&wanted_gradients) {
            assert_eq!(found.is_some(), wanted.is_some());
            if let (Some(found), Some(wanted)) = (found, wanted) {
                close(found, wanted, tolerance);
            }
        }
    });
}

/// Runs `body` under pools of one, two and three threads and fails unless the bits agree.
#[track_caller]
pub(super) fn same_under_any_pool(body: impl Fn() -> Vec<Vec<f32>> + Sync) {
    let runs = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(&body)
    });
    assert!(bits(&runs[0]) == bits(&runs[1]) && bits(&runs[0]) == bits(&runs[2]));
}

fn bits(values: &[Vec<f32>]) -> Vec<Vec<u32>> {
    values.iter().map(|v| v.iter().map(|x| x.to_bits()).collect()).collect()
}

/// Fails unless each sample of a batch gets the bits it gets alone.
#[track_caller]
pub(super) fn same_alone<const D: usize, const E: usize>(x: Tensor<D>, f: impl Fn(Tensor<D>) -> Tensor<E>) {
    each_level(|_| {
        let together = f(x.clone());
        for i in 0..x.dims()[0] {
            let alone = values(f(x.clone().narrow(0, i, 1)));
            let row = values(together.clone().narrow(0, i, 1));
            assert!(bits(&[alone]) == bits(&[row]), "sample {i}");
        }
    });
}
