use proptest::prelude::*;

use super::support::{gradients, leaf, random, same, same_alone, same_under_any_pool, values};
use crate::{Mask, attention, composed};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn agrees_with_the_composed_form(
        batch in 1_usize..3, queries in 1_usize..70, keys in 1_usize..90,
        (heads, depth) in (1_usize..4, 1_usize..50), causal: bool,
    ) {
        let mask = if causal { Mask::Causal } else { Mask::None };
        let c = heads * depth;
        let inputs = (
            random(1, [batch, queries, c]) * 3.0, random(2, [batch, keys, c]), random(3, [batch, keys, c]),
        );
        same(inputs, 2e-5,
            |q, k, v| attention(q, k, v, heads, mask),
            |q, k, v| composed::attention(q, k, v, heads, mask));
    }
}

#[test]
fn several_blocks_of_queries_agree() {
    let (q, k, v) = (random(1, [1, 300, 40]), random(2, [1, 900, 40]), random(3, [1, 900, 40]));
    same(
        (q, k, v),
        2e-5,
        |q, k, v| attention(q, k, v, 2, Mask::None),
        |q, k, v| composed::attention(q, k, v, 2, Mask::None),
    );
}

#[test]
fn samples_do_not_depend_on_the_batch() {
    let x = random(1, [5, 53, 64]);
    for mask in [Mask::None, Mask::Causal] {
        same_alone(x.clone(), |x| attention(x.clone(), x.clone(), x, 4, mask));
    }
}

#[test]
fn a_query_does_not_depend_on_its_block() {
    let (q, k) = (random(1, [1, 110, 32]), random(2, [1, 40, 32]));
    let all = values(attention(q.clone(), k.clone(), k.clone(), 2, Mask::None));
    for first in [1, 10, 109] {
        let some = q.clone().narrow(1, first, 110 - first);
        let some = values(attention(some, k.clone(), k.clone(), 2, Mask::None));
        assert!(some == all[first * 32..]);
    }
}

#[test]
fn threads_do_not_matter() {
    same_under_any_pool(|| {
        let [q, k, v] = [1, 2, 3].map(|seed| leaf(&random(seed, [2, 150, 48])));
        let y = attention(q.clone(), k.clone(), v.clone(), 3, Mask::None);
        let mut all = vec![values(y.clone().inner())];
        all.extend(gradients(y, &q, &k, &v).into_iter().flatten());
        all
    });
}
