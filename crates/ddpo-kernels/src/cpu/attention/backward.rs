//! The gradients of attention.

use std::ops::Range;

use super::{
    super::{
        memory::{self, Shared, with_scratch},
        pack::{PANEL, padded},
        product::Start,
        tile::Walk,
    },
    Head, Known, Shape, add_outer,
    chunked::ChunkedHead,
    forward, multiply, row,
    softmax::{Running, Slope, Softmax},
    transposed, width,
};
use crate::simd::Level;

/// The gradients of the tracked ones of `q`, `k` and `v`. Over many keys they take what the value knows, which is computed again if
/// it is not there.
pub(crate) fn backward(
    level: Level,
    [q, k, v]: [&[f32]; 3],
    known: Option<Known<'_>>,
    g: &[f32],
    shape: Shape,
    rows: Option<&[usize]>,
    tracked: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    if shape.is_chunked() && known.is_none() {
        let mut log_sums = shape.per_query();
        let value = forward(level, [q, k, v], shape, rows, Some(&mut log_sums));
        let known = Known { value: &value, log_sums: &log_sums };
        return backward(level, [q, k, v], Some(known), g, shape, rows, tracked);
    }
    assert_eq!(g.len(), q.len(), "attention: values of the gradient");
    by_head([q, k, v].map(<[f32]>::len), shape, rows, tracked, |heads, [dq, dk, dv]| {
        let head = heads[0];
        match known.filter(|_| shape.is_chunked()) {
            Some(known) => ChunkedHead { level, q, k, v, g, known, head }.run(heads, dq, dk, dv),
            None => BackwardHead { level, q, k, v, g, head }.run(heads, dq, dk, dv),
        }
    })
}

/// Gradients of the tracked ones of values of these `sizes`; `run` adds to them what a head brings, for all samples that look at the
/// same keys.
pub(super) fn by_head(
    sizes: [usize; 3],
    shape: Shape,
    rows: Option<&[usize]>,
    tracked: [bool; 3],
    run: impl Fn(&[Head], [Option<Shared>; 3]) + Sync + Send,
) -> [Option<Vec<f32>>; 3] {
    let mut gradients: [Option<Vec<f32>>; 3] = std::array::from_fn(|i| tracked[i].then(|| vec![0.0; sizes[i]]));
    let shared = gradients.each_mut().map(|x| x.as_mut().map(|x| Shared::new(x)));
    let texts = sizes[1] / (shape.keys * shape.channels()).max(1);
    memory::for_each(texts * shape.heads, shape.work() * 3, |index| {
        let (text, head) = (index / shape.heads, index % shape.heads);
        let samples = (0..shape.batch).filter(|&sample| row(rows, sample) == text);
        let heads: Vec<Head> = samples.map(|sample| Head::new(shape, sample, text, head)).collect();
        // Keys that no sample looks at have no gradient.
        if !heads.is_empty() {
            run(&heads, shared);
        }
    });
    gradients
}

/// The backward pass of one head, for all samples that look at the same keys.
struct BackwardHead<'a> {
    level: Level,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    g: &'a [f32],
    /// The head of any of the samples.
    head: Head,
}

impl BackwardHead<'_> {
    fn run(&self, heads: &[Head], dq: Option<Shared>, dk: Option<Shared>, dv: Option<Shared>) {
        let Shape { keys, depth, queries, .. } = self.head.shape;
        let room = self.head.room();
        with_scratch(2 * (room + keys * depth), |buffer| {
            let (by_key, buffer) = buffer.split_at_mut(room);
            let (by_value, buffer) = buffer.split_at_mut(room);
            let (key_sum, value_sum) = buffer.split_at_mut(keys * depth);
            self.head.keys(self.k, by_key);
            self.head.keys(self.v, by_value);
            key_sum.fill(0.0);
            value_sum.fill(0.0);
            for (head, start) in heads.iter().flat_map(|head| (0..queries).step_by(PANEL).map(move |at| (head, at))) {
                let range = start..queries.min(start + PANEL);
                let sums = (dk.is_some().then_some(&mut *key_sum), dv.is_some().then_some(&mut *value_sum));
                Self { head: *head, ..*self }.block(by_key, by_value, range, dq, sums);
            }
            // Queries were scaled before they were summed into the keys' gradient.
            self.head.store(dk, 0, key_sum);
            self.head.store(dv, 0, value_sum);
        });
    }

    /// The part of the gradients that some queries bring.
    fn block(
        &self,
        by_key: &[f32],
        by_value: &[f32],
        queries: Range<usize>,
        dq: Option<Shared>,
        (key_sum, value_sum): (Option<&mut [f32]>, Option<&mut [f32]>),
    ) {
        let (level, head, shape) = (self.level, self.head, self.head.shape);
        let Shape { keys, depth, mask, .. } = shape;
        let width = width(queries.len());
        let scores = shape.rows() * width;
        with_scratch((depth + padded(depth)) * width + 2 * scores, |buffer| {
            let (columns, buffer) = buffer.split_at_mut(depth * width);
            let (rows, buffer) = buffer.split_at_mut(padded(depth) * width);
            let (weights, slopes) = buffer.split_at_mut(scores);
            let mut running = Running::new();
            let walk = Walk::rows(depth, depth);
            head.columns(self.q, queries.clone(), width, shape.scale(), columns);
            multiply(level, Start::Zero, (by_key, walk, keys), (columns, width), weights);
            level.run(Softmax { scores: weights, width, running: &mut running, first: queries.start, keys, mask });
            head.columns(self.g, queries.clone(), width, 1.0, columns);
            multiply(level, Start::Zero, (by_value, walk, keys), (columns, width), slopes);
            level.run(Slope { weights, slopes, width, sums: &running.sums, keys });
            if let Some(sum) = value_sum {
                head.padded_rows(self.g, queries.clone(), 1.0, rows);
                add_outer(level, weights, width, keys, rows, depth, sum);
            }
            if let Some(sum) = key_sum {
                head.padded_rows(self.q, queries.clone(), shape.scale(), rows);
                add_outer(level, slopes, width, keys, rows, depth, sum);
            }
            if let Some(dq) = dq {
                multiply(level, Start::Zero, (by_key, transposed(shape, keys), depth), (slopes, width), columns);
                head.scatter(dq, queries, width, columns, |_| shape.scale());
            }
        });
    }
}
