use proptest::prelude::*;

use super::support::{gradients, leaf, random, same, same_alone, same_under_any_pool, values};
use crate::{Activation, composed, group_norm, layer_norm};

const EPSILON: f64 = 1e-5;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn groups_agree_with_the_composed_form(
        (batch, h, w) in (1_usize..4, 1_usize..10, 1_usize..10),
        (groups, size) in (1_usize..9, 1_usize..12),
        silu: bool,
    ) {
        // A group of one value has no slope but rounding.
        prop_assume!(h * w * size > 2);
        let act = if silu { Activation::Silu } else { Activation::None };
        let c = groups * size;
        same((random(1, [batch, h, w, c]), random(2, [c]), random(3, [c])), 3e-5,
            |x, g, b| group_norm(x, &g, &b, groups, EPSILON, act),
            |x, g, b| composed::group_norm(x, &g, &b, groups, EPSILON, act));
    }

    #[test]
    fn rows_agree_with_the_composed_form(rows in 1_usize..80, c in 3_usize..70) {
        same((random(1, [rows, c]), random(2, [c]), random(3, [c])), 3e-5,
            |x, g, b| layer_norm(x, &g, &b, EPSILON),
            |x, g, b| composed::layer_norm(x, &g, &b, EPSILON));
    }
}

#[test]
fn a_large_mean_does_not_drown_the_variance() {
    let (gamma, beta) = (random(2, [64]), random(3, [64]));
    same(
        (random(1, [2, 16, 16, 64]) + 100.0, gamma, beta),
        1e-4,
        |x, g, b| group_norm(x, &g, &b, 32, EPSILON, Activation::Silu),
        |x, g, b| composed::group_norm(x, &g, &b, 32, EPSILON, Activation::Silu),
    );
}

#[test]
fn samples_do_not_depend_on_the_batch() {
    let (g, b) = (random(2, [96]), random(3, [96]));
    for batch in [2, 13] {
        let x = random(1, [batch, 5, 5, 96]);
        same_alone(x, |x| group_norm(x, &g, &b, 32, EPSILON, Activation::Silu));
    }
    same_alone(random(1, [35, 96]), |x| layer_norm(x, &g, &b, EPSILON));
}

#[test]
fn threads_do_not_matter() {
    same_under_any_pool(|| {
        let (g, b) = (leaf(&random(2, [96])), leaf(&random(3, [96])));
        let x = leaf(&random(1, [3, 24, 24, 96]));
        let y = group_norm(x.clone(), &g, &b, 32, EPSILON, Activation::Silu);
        let mut all = vec![values(y.clone().inner())];
        all.extend(gradients(y, &x, &g, &b).into_iter().flatten());
        let x = leaf(&random(1, [1700, 96]));
        let y = layer_norm(x.clone(), &g, &b, EPSILON);
        all.push(values(y.clone().inner()));
        all.extend(gradients(y, &x, &g, &b).into_iter().flatten());
        all
    });
}
