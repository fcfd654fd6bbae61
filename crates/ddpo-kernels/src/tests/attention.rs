use std::sync::Arc;

use burn::tensor::Tensor;
use proptest::prelude::*;

use super::support::{gradients, leaf, random, same, same_alone, same_under_any_pool, values};
use crate::{Mask, attention, composed, distinct, shared_attention};

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

/// More keys than whose scores are held at a time; the largest score comes last, in the middle, and first.
#[test]
fn keys_in_chunks_agree() {
    for place in [1500, 700, 0] {
        let (q, mut k, v) = (random(1, [1, 40, 16]), random(2, [1, 1501, 16]), random(3, [1, 1501, 16]));
        k = k.slice_assign([0..1, place..place + 1, 0..16], q.clone().slice([0..1, 3..4, 0..16]) * 5.0);
        same(
            (q, k, v),
            2e-5,
            |q, k, v| attention(q, k, v, 2, Mask::None),
            |q, k, v| composed::attention(q, k, v, 2, Mask::None),
        );
    }
    let keys = random(2, [1, 1501, 16]);
    let all = values(attention(random(1, [1, 70, 16]), keys.clone(), keys.clone(), 2, Mask::None));
    let some = random(1, [1, 70, 16]).narrow(1, 7, 63);
    assert!(values(attention(some, keys.clone(), keys, 2, Mask::None)) == all[7 * 16..]);
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

#[test]
fn shared_keys_are_as_good_as_copies() {
    let rows: Arc<[usize]> = [1, 0, 1, 1, 2].into();
    for (queries, keys) in [(9, 21), (70, 21), (35, 1100)] {
        let inputs = (random(1, [5, queries, 24]), random(2, [3, keys, 24]), random(3, [3, keys, 24]));
        let copies = |x: Tensor<3>| composed::samples(x, &rows);
        same(
            inputs.clone(),
            2e-5,
            |q, k, v| shared_attention(q, k, v, 3, &rows),
            |q, k, v| composed::attention(q, copies(k), copies(v), 3, Mask::None),
        );
        let (q, k, v) = inputs;
        let shared = values(shared_attention(q.clone(), k.clone(), v.clone(), 3, &rows));
        assert!(shared == values(attention(q, copies(k), copies(v), 3, Mask::None)));
    }
}

#[test]
fn samples_that_differ_are_told_apart() {
    let x = random(1, [3, 4, 5]);
    assert!(distinct(&x).is_none());
    let repeated = composed::samples(x.clone(), &[2, 0, 2, 2]);
    let (kinds, rows) = distinct(&repeated).unwrap();
    assert_eq!(*rows, [0, 1, 0, 0]);
    assert!(values(kinds) == values(composed::samples(x, &[2, 0])));
}
