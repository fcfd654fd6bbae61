use burn::tensor::DType;
use proptest::prelude::*;

use super::support::{gradients, leaf, random, same, same_alone, same_under_any_pool, values};
use crate::{Weight, composed, geglu, linear, linear_geglu};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn agrees_with_the_composed_form(
        rows in 1_usize..40, k in 1_usize..70, n in 1_usize..100, with_bias: bool,
    ) {
        let inputs = (random(1, [2, rows, k]), random(2, [k, n]), random(3, [n]));
        same(inputs, 1e-5,
            |x, w, b| linear(x, &Weight::trainable(w), with_bias.then_some(&b)),
            |x, w, b| composed::linear(x, &Weight::trainable(w), with_bias.then_some(&b)));
    }
}

#[test]
fn a_frozen_weight_gets_no_gradient_but_passes_one_on() {
    let w = random(2, [20, 37]);
    same(
        (random(1, [3, 20]), random(2, [1]), random(3, [37])),
        1e-5,
        |x, _, b| linear(x, &Weight::frozen(w.clone()), Some(&b)),
        |x, _, b| composed::linear(x, &Weight::frozen(w.clone()), Some(&b)),
    );
}

#[test]
fn strided_inputs_are_read_in_order() {
    let (x, w) = (random(1, [5, 20, 3]).swap_dims(1, 2), Weight::frozen(random(2, [20, 8])));
    let wanted = values(composed::linear(x.clone(), &w, None));
    super::support::close(&values(linear(x, &w, None)), &wanted, 1e-5);
}

#[test]
fn rows_do_not_depend_on_the_batch() {
    let w = Weight::frozen(random(2, [133, 90]));
    same_alone(random(1, [27, 133]), |x| linear(x, &w, None));
}

#[test]
fn threads_do_not_matter() {
    same_under_any_pool(|| {
        let (x, w, b) = (leaf(&random(1, [600, 70])), leaf(&random(2, [70, 90])), leaf(&random(3, [90])));
        let y = linear(x.clone(), &Weight::trainable(w.clone()), Some(&b));
        let mut all = vec![values(y.clone().inner())];
        all.extend(gradients(y, &x, &w, &b).into_iter().flatten());
        all
    });
}

/// Shapes whose matrix is heavy, so that `K` is gone down in parts.
#[test]
fn heavy_matrices_agree_with_the_composed_form() {
    for (rows, k, n) in [(30, 1500, 200), (5, 2600, 120), (300, 1280, 208)] {
        same(
            (random(1, [rows, k]), random(2, [k, n]), random(3, [n])),
            1e-5,
            |x, w, b| linear(x, &Weight::trainable(w), Some(&b)),
            |x, w, b| composed::linear(x, &Weight::trainable(w), Some(&b)),
        );
    }
}

#[test]
fn the_parts_of_a_heavy_matrix_do_not_show() {
    let (x, w, b) = (random(1, [70, 1500]), random(2, [1500, 200]), random(3, [200]));
    let whole = linear(x.clone(), &Weight::frozen(w.clone()), Some(&b)).narrow(1, 40, 96);
    let light = linear(x.clone(), &Weight::frozen(w.clone().narrow(1, 40, 96)), Some(&b.narrow(0, 40, 96)));
    assert_eq!(values(whole), values(light));
    let w = Weight::frozen(w);
    same_alone(x, |x| linear(x, &w, None));
}

#[test]
fn a_gate_behind_a_product_is_the_two_one_after_the_other() {
    for (rows, k, n, with_bias) in [(1, 7, 64, true), (37, 70, 128, false), (50, 1300, 256, true), (5, 9, 40, true)] {
        let (x, w, b) = (random(1, [2, rows, k]), random(2, [k, n]), random(3, [n]));
        let bias = with_bias.then_some(&b);
        for w in [Weight::frozen(w.clone()), Weight::trainable(w.clone()), Weight::frozen(w.clone().cast(DType::BF16))]
        {
            let both = geglu(linear(x.clone(), &w, bias));
            assert_eq!(values(linear_geglu(x.clone(), &w, bias)), values(both));
        }
        same_alone(random(4, [rows, k]), |x| linear_geglu(x, &Weight::frozen(w.clone()), bias));
        same(
            (x, w, b),
            1e-5,
            |x, w, b| linear_geglu(x, &Weight::trainable(w), with_bias.then_some(&b)),
            |x, w, b| composed::geglu(composed::linear(x, &Weight::trainable(w), with_bias.then_some(&b))),
        );
    }
}
