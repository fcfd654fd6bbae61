use burn::tensor::{Device, Tensor};
use proptest::prelude::*;

use super::support::{close, random, same, same_alone, values};
use crate::{composed, geglu, gelu, quick_gelu, silu, simd::forced::each_level, upsample_nearest_2x};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn functions_agree_with_their_composed_forms(n in 1_usize..100) {
        let x = || (random(1, [2, n]) * 8.0, random(2, [1]), random(3, [1]));
        same(x(), 1e-6, |x, _, _| silu(x), |x, _, _| composed::silu(x));
        same(x(), 1e-6, |x, _, _| gelu(x), |x, _, _| composed::gelu(x));
        same(x(), 1e-6, |x, _, _| quick_gelu(x), |x, _, _| composed::quick_gelu(x));
    }

    #[test]
    fn gates_agree_with_their_composed_form(rows in 1_usize..40, c in 1_usize..70) {
        let x = (random(1, [rows, 2 * c]) * 4.0, random(2, [1]), random(3, [1]));
        same(x, 2e-6, |x, _, _| geglu(x), |x, _, _| composed::geglu(x));
    }

    #[test]
    fn upsampling_agrees_with_its_composed_form(
        b in 1_usize..3, h in 1_usize..6, w in 1_usize..6, c in 1_usize..20,
    ) {
        let x = (random(1, [b, h, w, c]), random(2, [1]), random(3, [1]));
        same(x, 1e-6,
            |x, _, _| upsample_nearest_2x(x), |x, _, _| composed::upsample_nearest_2x(x));
    }
}

#[test]
fn rows_do_not_depend_on_the_batch() {
    same_alone(random(1, [21, 37]), silu);
    same_alone(random(1, [21, 74]), geglu);
}

#[test]
fn gelu_is_exact_in_the_tails() {
    let x: Vec<f32> = (-200..=200).map(|i| i as f32 * 0.05).collect();
    let wanted: Vec<f32> = x.iter().map(|&x| (f64::from(x) * normal(f64::from(x))) as f32).collect();
    each_level(|_| {
        let x = Tensor::<1>::from_floats(x.as_slice(), &Device::flex());
        let found = values(gelu(x));
        for (f, w) in found.iter().zip(&wanted) {
            assert!((f - w).abs() < 1e-6 * w.abs().max(1.0), "{f}, wanted {w}");
        }
    });
}

/// The normal distribution function, by the midpoint rule on its density.
fn normal(x: f64) -> f64 {
    let steps = 20_000;
    let width = x / f64::from(steps);
    let density = |t: f64| (-0.5 * t * t).exp() / std::f64::consts::TAU.sqrt();
    0.5 + (0..steps).map(|i| density((f64::from(i) + 0.5) * width)).sum::<f64>() * width
}

#[test]
fn extreme_inputs_stay_finite() {
    each_level(|_| {
        let x = Tensor::<1>::from_floats([-1e30, -100.0, -88.5, 0.0, 88.5, 100.0, 1e30], &Device::flex());
        let y = values(silu(x));
        close(&y[..4], &[0.0; 4], 1e-6);
        assert_eq!(&y[4..], &[88.5, 100.0, 1e30]);
    });
}
