use proptest::prelude::*;

use super::support::{gradients, leaf, random, same, same_alone, same_under_any_pool, values};
use crate::{Conv2dOptions, Padding, Weight, composed, conv2d};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn agrees_with_the_composed_form(
        (batch, h, w) in (1_usize..4, 1_usize..10, 1_usize..10),
        (cin, cout) in (1_usize..40, 1_usize..50),
        kernel in (1_usize..4, 1_usize..4),
        stride in 1_usize..3,
        (top, bottom, left, right) in (0_usize..3, 0_usize..3, 0_usize..3, 0_usize..3),
    ) {
        let kernel = [kernel.0, kernel.1];
        prop_assume!(h + top + bottom >= kernel[0] && w + left + right >= kernel[1]);
        let o = Conv2dOptions { kernel, stride, padding: Padding { top, bottom, left, right } };
        let matrix = random(2, [kernel[0] * kernel[1] * cin, cout]);
        same((random(1, [batch, h, w, cin]), matrix, random(3, [cout])), 2e-5,
            |x, w, b| conv2d(x, &Weight::trainable(w), Some(&b), o),
            |x, w, b| composed::conv2d(x, &Weight::trainable(w), Some(&b), o));
    }
}

#[test]
fn a_frozen_weight_passes_the_gradient_on() {
    let o = Conv2dOptions { stride: 2, ..Conv2dOptions::SAME_3X3 };
    let w = Weight::frozen(random(2, [9 * 5, 33]));
    same(
        (random(1, [2, 8, 8, 5]), random(2, [1]), random(3, [33])),
        2e-5,
        |x, _, b| conv2d(x, &w, Some(&b), o),
        |x, _, b| composed::conv2d(x, &w, Some(&b), o),
    );
}

#[test]
fn images_do_not_depend_on_the_batch() {
    let w = Weight::frozen(random(2, [9 * 20, 40]));
    for size in [3, 4, 9, 16] {
        let x = random(1, [7, size, size, 20]);
        same_alone(x, |x| conv2d(x, &w, None, Conv2dOptions::SAME_3X3));
    }
}

#[test]
fn threads_do_not_matter() {
    same_under_any_pool(|| {
        let x = leaf(&random(1, [6, 12, 12, 36]));
        let (w, b) = (leaf(&random(2, [9 * 36, 50])), leaf(&random(3, [50])));
        let y = conv2d(x.clone(), &Weight::trainable(w.clone()), Some(&b), Conv2dOptions::SAME_3X3);
        let mut all = vec![values(y.clone().inner())];
        all.extend(gradients(y, &x, &w, &b).into_iter().flatten());
        all
    });
}

/// Shapes that Winograd's form is chosen for: with four and with two outputs a tile, with tiles that reach past the
/// image, with channels that fill no vector, with more tiles than the gradient of the kernel takes at a time.
#[test]
fn carried_convolutions_agree_with_the_composed_form() {
    for (size, cin, cout) in
        [(16, 64, 64), (40, 24, 33), (8, 40, 70), (9, 33, 20), (4, 150, 150), (2, 64, 48), (7, 24, 100)]
    {
        let matrix = random(2, [9 * cin, cout]);
        same(
            (random(1, [3, size, size, cin]), matrix, random(3, [cout])),
            1e-5,
            |x, w, b| conv2d(x, &Weight::trainable(w), Some(&b), Conv2dOptions::SAME_3X3),
            |x, w, b| composed::conv2d(x, &Weight::trainable(w), Some(&b), Conv2dOptions::SAME_3X3),
        );
    }
}

/// Shapes whose kernel is heavy: directly, where it is gone down position by position, and carried, where it is read
/// position by position of the tiles.
#[test]
fn heavy_kernels_agree_with_the_composed_form() {
    let strided = Conv2dOptions { stride: 2, ..Conv2dOptions::SAME_3X3 };
    let narrow = Conv2dOptions { kernel: [3, 1], ..Conv2dOptions::SAME_3X3 };
    for (size, cin, cout, o) in [
        (9, 180, 190, strided),
        (5, 300, 300, narrow),
        (4, 600, 450, Conv2dOptions::POINTWISE),
        (17, 350, 352, Conv2dOptions::SAME_3X3),
    ] {
        let matrix = random(2, [o.kernel.iter().product::<usize>() * cin, cout]);
        same(
            (random(1, [2, size, size, cin]), matrix, random(3, [cout])),
            2e-5,
            |x, w, b| conv2d(x, &Weight::trainable(w), Some(&b), o),
            |x, w, b| composed::conv2d(x, &Weight::trainable(w), Some(&b), o),
        );
    }
}

#[test]
fn the_parts_of_a_heavy_kernel_do_not_show() {
    let o = Conv2dOptions { stride: 2, ..Conv2dOptions::SAME_3X3 };
    let (x, w, b) = (random(1, [3, 12, 12, 180]), random(2, [9 * 180, 190]), random(3, [190]));
    let whole = conv2d(x.clone(), &Weight::frozen(w.clone()), Some(&b), o).narrow(3, 64, 96);
    let light = conv2d(x.clone(), &Weight::frozen(w.clone().narrow(1, 64, 96)), Some(&b.narrow(0, 64, 96)), o);
    assert_eq!(values(whole), values(light));
    let w = Weight::frozen(w);
    same_alone(x, |x| conv2d(x, &w, None, o));
    let carried = Weight::frozen(random(2, [9 * 350, 352]));
    same_alone(random(1, [2, 17, 17, 350]), |x| conv2d(x, &carried, None, Conv2dOptions::SAME_3X3));
}
