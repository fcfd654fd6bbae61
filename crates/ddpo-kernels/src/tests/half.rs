//! Frozen weights in bf16 against the composed form of the same rounded factors.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use super::support::{close, gradients, leaf, random, same_alone, same_under_any_pool, values};
use crate::{
    Conv2dOptions, Mask, Weight, attention, composed, conv2d, cpu::half::forced::each_unit, half_attention, linear,
};

/// The nearest bf16 of each value, in `f32`.
fn rounded<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    x.cast(DType::BF16).cast(DType::F32)
}

fn half(matrix: &Tensor<2>) -> Weight {
    Weight::frozen(matrix.clone().cast(DType::BF16))
}

/// Fails unless values and input gradients are those of the composed form in `f32`; that of the bias, whose gradient meets no
/// product, to the last bits.
#[track_caller]
fn check<const D: usize>(
    x: Tensor<D>,
    matrix: &Tensor<2>,
    operation: impl Fn(Tensor<D>, &Weight, &Tensor<1>) -> Tensor<D>,
    wanted: impl Fn(Tensor<D>, &Weight, &Tensor<1>) -> Tensor<D>,
) {
    let (x, bias, none) = (rounded(x), random(3, [matrix.dims()[1]]), random::<1>(4, [1]));
    let full = Weight::frozen(rounded(matrix.clone()));
    let (of_x, of_bias) = (leaf(&x), leaf(&bias));
    let y = wanted(of_x.clone(), &full, &of_bias);
    let wanted = values(y.clone().inner());
    let [wanted_x, wanted_bias, _] = gradients(y, &of_x, &of_bias, &leaf(&none));
    each_unit(|_| {
        let weight = half(matrix);
        close(&values(operation(x.clone(), &weight, &bias)), &wanted, 1e-5);
        let (of_x, of_bias) = (leaf(&x), leaf(&bias));
        let y = operation(of_x.clone(), &weight, &of_bias);
        assert_eq!(y.dtype(), DType::F32);
        let [found_x, found_bias, _] = gradients(y, &of_x, &of_bias, &leaf(&none));
        // The gradient that comes in is rounded to eight bits.
        close(&found_x.unwrap(), wanted_x.as_ref().unwrap(), 1.0 / 256.0);
        close(&found_bias.unwrap(), wanted_bias.as_ref().unwrap(), 1e-5);
    });
}

#[test]
fn linear_layers_agree_with_the_composed_form() {
    for (rows, k, n) in [(1, 1, 1), (5, 40, 33), (70, 320, 64)] {
        check(
            random(1, [2, rows, k]),
            &random(2, [k, n]),
            |x, w, b| linear(x, w, Some(b)),
            |x, w, b| composed::linear(x, w, Some(b)),
        );
    }
}

#[test]
fn convolutions_agree_with_the_composed_form() {
    // The last has a matrix that no form in `f32` is kept of, and images for which one is made.
    for (size, cin, cout, stride) in
        [(4, 3, 5, 1), (8, 32, 40, 1), (9, 64, 33, 2), (2, 64, 48, 1), (16, 48, 80, 1), (64, 180, 164, 1)]
    {
        let options = Conv2dOptions { stride, ..Conv2dOptions::SAME_3X3 };
        check(
            random(1, [2, size, size, cin]),
            &random(2, [9 * cin, cout]),
            |x, w, b| conv2d(x, w, Some(b), options),
            |x, w, b| composed::conv2d(x, w, Some(b), options),
        );
    }
}

/// Sizes that fill no tile, one head and several, more keys than a tile and than a chunk of tiles has; samples that share keys.
#[test]
fn attention_agrees_with_the_composed_form() {
    for (queries, keys, heads, depth) in [(1, 1, 1, 1), (40, 77, 2, 40), (5, 3, 3, 8), (70, 70, 1, 96), (9, 300, 2, 20)]
    {
        let channels = heads * depth;
        let q = random(1, [2, queries, channels]);
        let [k, v] = [2, 3].map(|seed| random(seed, [2, keys, channels]));
        let wanted = |k: &Tensor<3>, v: &Tensor<3>| {
            let [q, k, v] = [&q, k, v].map(|x| rounded(x.clone()));
            values(composed::attention(q, k, v, heads, Mask::None))
        };
        let [second_k, second_v] = [&k, &v].map(|x| Tensor::cat(vec![x.clone().narrow(0, 1, 1); 2], 0));
        let rows: Arc<[usize]> = Arc::new([1, 1]);
        each_unit(|_| {
            let attend = |rows| values(half_attention(q.clone(), k.clone(), v.clone(), heads, rows));
            // Exponentials and scaled queries are rounded, too.
            close(&attend(None), &wanted(&k, &v), 1.0 / 128.0);
            close(&attend(Some(&rows)), &wanted(&second_k, &second_v), 1.0 / 128.0);
        });
        let gradient = |half: bool| {
            let (q, k, v) = (leaf(&q), leaf(&k), leaf(&v));
            let y = match half {
                true => half_attention(q.clone(), k.clone(), v.clone(), heads, None),
                false => attention(q.clone(), k.clone(), v.clone(), heads, Mask::None),
            };
            gradients(y, &q, &k, &v)
        };
        assert!(gradient(true) == gradient(false), "over few keys the gradient is that of f32");
    }
}

/// More keys than those that stay near the core, depths that fill no tile; alone, and with samples that share keys.
#[test]
fn gradients_of_attention_over_many_keys_agree_with_the_composed_form() {
    for (queries, keys, heads, depth) in [(40, 1100, 2, 20), (70, 1029, 1, 72)] {
        let channels = heads * depth;
        let [q, k, v] = [(1, queries), (2, keys), (3, keys)].map(|(seed, n)| rounded(random(seed, [2, n, channels])));
        let q = q * 8.0;
        let rows: Arc<[usize]> = Arc::new([1, 1]);
        for rows in [None, Some(&rows)] {
            let leaves = || [&q, &k, &v].map(leaf);
            let [a, b, c] = leaves();
            let shared = |x: &Tensor<3>| rows.map_or(x.clone(), |rows| composed::samples(x.clone(), rows));
            let y = composed::attention(a.clone(), shared(&b), shared(&c), heads, Mask::None);
            let wanted = gradients(y, &a, &b, &c);
            each_unit(|unit| {
                let [a, b, c] = leaves();
                let y = half_attention(a.clone(), b.clone(), c.clone(), heads, rows);
                for (found, wanted) in gradients(y, &a, &b, &c).iter().zip(&wanted) {
                    let (found, wanted) = (found.as_ref().unwrap(), wanted.as_ref().unwrap());
                    // In units of the largest: gradients over many keys are small.
                    let largest = wanted.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
                    let [found, wanted] = [found, wanted].map(|x| x.iter().map(|x| x / largest).collect::<Vec<f32>>());
                    close(&found, &wanted, 1.0 / 64.0);
                    assert!(found.iter().zip(&wanted).any(|(x, y)| (x - y).abs() > 1e-5), "{unit:?} rounds nothing");
                }
            });
        }
    }
}

#[test]
fn samples_do_not_depend_on_the_batch() {
    each_unit(|_| {
        let weight = half(&random(2, [133, 90]));
        same_alone(random(1, [67, 133]), |x| linear(x, &weight, None));
        let weight = half(&random(2, [9 * 20, 40]));
        same_alone(random(1, [9, 5, 5, 20]), |x| conv2d(x, &weight, None, Conv2dOptions::SAME_3X3));
        same_alone(random(1, [3, 50, 24]), |x| half_attention(x.clone(), x.clone(), x, 2, None));
    });
}

#[test]
fn threads_do_not_matter() {
    let (matrix, kernel) = (random(2, [300, 290]), random(2, [9 * 36, 50]));
    same_under_any_pool(|| {
        let (x, images, bias) =
            (leaf(&random(1, [600, 300])), leaf(&random(1, [6, 12, 12, 36])), leaf(&random(3, [1])));
        let y = linear(x.clone(), &half(&matrix), None);
        let z = conv2d(images.clone(), &half(&kernel), None, Conv2dOptions::SAME_3X3);
        let tokens = random(1, [2, 150, 24]);
        let attended = half_attention(tokens.clone(), tokens.clone(), tokens, 3, None);
        let mut all = vec![values(y.clone().inner()), values(z.clone().inner()), values(attended)];
        all.extend(gradients(y, &x, &bias, &bias).into_iter().flatten());
        all.extend(gradients(z, &images, &bias, &bias).into_iter().flatten());
        let [q, k, v] = [1, 2, 3].map(|seed| leaf(&random(seed, [2, 1040, 12])));
        all.extend(
            gradients(half_attention(q.clone(), k.clone(), v.clone(), 2, None), &q, &k, &v).into_iter().flatten(),
        );
        all
    });
}

#[test]
fn a_packed_weight_gives_back_its_values_in_bf16() {
    let weight = half(&random(2, [70, 100]));
    weight.pack();
    assert_eq!(weight.value().dtype(), DType::BF16);
    assert_eq!(values(weight.value().cast(DType::F32)), values(rounded(random(2, [70, 100]))));
}

/// The adjoint of a weight of this size is made anew for each backward pass.
#[test]
fn a_large_weight_passes_a_gradient_on() {
    let (x, matrix) = (random(1, [3, 1030]), random(2, [1030, 1025]));
    let gradient = |weight: &Weight| {
        let x = leaf(&x);
        values(x.grad(&linear(x.clone(), weight, None).sum().backward()).unwrap())
    };
    close(&gradient(&half(&matrix)), &gradient(&Weight::frozen(rounded(matrix))), 1e-5);
}
