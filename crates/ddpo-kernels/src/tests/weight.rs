use proptest::prelude::*;

use super::support::{close, leaf, random, values};
use crate::{Conv2dOptions, Weight, conv2d, linear};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_packed_weight_gives_back_its_values(k in 1_usize..70, n in 1_usize..100) {
        let matrix = random(1, [k, n]);
        let weight = Weight::frozen(matrix.clone());
        let clone = weight.clone();
        weight.pack();
        prop_assert_eq!(clone.dims(), [k, n]);
        prop_assert_eq!(values(clone.value()), values(matrix));
    }
}

/// The adjoint of a weight of this size is made anew from the packed form for each backward pass.
#[test]
fn a_large_weight_passes_the_gradient_of_a_trainable_one() {
    let (x, matrix) = (random(1, [3, 1030]), random(2, [1030, 1025]));
    let gradient = |weight: &Weight| {
        let x = leaf(&x);
        let gradients = linear(x.clone(), weight, None).square().sum().backward();
        values(x.grad(&gradients).unwrap())
    };
    let frozen = Weight::frozen(matrix.clone());
    let wanted = gradient(&Weight::trainable(matrix));
    assert!(gradient(&frozen) == wanted && gradient(&frozen) == wanted);
}

#[test]
fn a_large_convolution_passes_the_gradient_of_a_trainable_one() {
    let (x, matrix) = (random(1, [1, 5, 4, 320]), random(2, [9 * 320, 370]));
    let options = Conv2dOptions { stride: 2, ..Conv2dOptions::SAME_3X3 };
    let gradient = |weight: &Weight| {
        let x = leaf(&x);
        let gradients = conv2d(x.clone(), weight, None, options).square().sum().backward();
        values(x.grad(&gradients).unwrap())
    };
    close(&gradient(&Weight::frozen(matrix.clone())), &gradient(&Weight::trainable(matrix)), 0.0);
}
