//! Attention, a block of queries at a time: the scores of a block stay in the core's cache, and the
//! full matrix of scores never exists. The backward pass computes them again.
//!
//! Scores lie as `[key][query]`, so that a vector holds one key's scores for several queries: largest scores, sums and
//! normalisation then need nothing across the lanes of a vector, and every product has its matrix in place.

mod backward;
mod chunked;
mod forward;
mod half;
mod softmax;

use std::ops::Range;

pub(crate) use backward::backward;
pub(crate) use forward::forward;
pub(crate) use half::{half_backward, half_forward};

use super::{
    memory::Shared,
    pack::{HALF, PANEL, Panel, padded},
    product::{Group, MatrixProduct, Start},
    tile::{GROUP, Walk},
};
use crate::{Mask, simd::Level};

/// The shape of the problem: `[batch, queries, heads · depth]` and `[batch, keys, heads · depth]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub queries: usize,
    pub keys: usize,
    pub heads: usize,
    pub depth: usize,
    pub mask: Mask,
}

/// Keys beyond which the scores of a block would leave the core's cache: then they go by in chunks.
const MANY: usize = 1024;

impl Shape {
    fn channels(&self) -> usize {
        self.heads * self.depth
    }

    fn scale(&self) -> f32 {
        (self.depth as f32).sqrt().recip()
    }

    /// Keys whose scores are held at a time.
    fn chunk(&self) -> usize {
        match self.mask {
            Mask::None if self.keys > MANY => MANY / 2,
            _ => self.keys,
        }
    }

    /// Whether the gradients take what the value knows of each query, and are in bf16 where it is.
    pub(crate) fn is_chunked(&self) -> bool {
        self.chunk() < self.keys
    }

    /// Room for a value of each query of each head.
    pub(crate) fn per_query(&self) -> Vec<f32> {
        vec![0.0; self.batch * self.heads * self.queries]
    }

    /// Where what is known of the queries of a head begins.
    fn known(&self, sample: usize, head: usize) -> usize {
        (sample * self.heads + head) * self.queries
    }

    /// Keys in whole groups.
    fn rows(&self) -> usize {
        self.keys.next_multiple_of(GROUP)
    }

    /// Multiply-adds and the exponentials, in floating-point operations.
    fn work(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys * (4 * self.depth + 32)
    }
}

/// What a value knows that its gradients would have to compute again.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The value of attention.
    pub value: &'a [f32],
    /// `ln Σ e^score` of each query, `[sample][head][query]`.
    pub log_sums: &'a [f32],
}

/// One head of one sample.
#[derive(Clone, Copy)]
struct Head {
    shape: Shape,
    /// First value of the head's first query, and of its first key.
    query: usize,
    key: usize,
    /// Where what is known of its first query is.
    known: usize,
}

impl Head {
    /// Head `head` of sample `sample` of the queries, which look at sample `row` of the keys.
    fn new(shape: Shape, sample: usize, row: usize, head: usize) -> Self {
        let first = head * shape.depth;
        Self {
            shape,
            query: sample * shape.queries * shape.channels() + first,
            key: row * shape.keys * shape.channels() + first,
            known: shape.known(sample, head),
        }
    }

    /// Row `index` of the head in a tensor whose head starts at `start`.
    fn row<'a>(&self, x: &'a [f32], start: usize, index: usize) -> &'a [f32] {
        &x[start + index * self.shape.channels()..][..self.shape.depth]
    }

    /// The rows of all keys, `[key][channel of the head]`, in [`Head::room`] values.
    fn keys(&self, x: &[f32], to: &mut [f32]) {
        self.some_keys(x, 0..self.shape.keys, to);
    }

    /// The rows of some keys, and zeros behind them.
    fn some_keys(&self, x: &[f32], keys: Range<usize>, to: &mut [f32]) {
        let (used, rest) = to.split_at_mut(keys.len() * self.shape.depth);
        for (key, to) in keys.zip(used.chunks_exact_mut(self.shape.depth)) {
            to.copy_from_slice(self.row(x, self.key, key));
        }
        rest.fill(0.0);
    }

    /// Values of the keys' rows: whole groups of rows, and of columns.
    fn room(&self) -> usize {
        self.shape.rows() * self.shape.depth + GROUP
    }

    /// Some queries' rows as `[channel of the head][query]`, `width` queries, times `scale`; zeros where there are fewer.
    fn columns(&self, x: &[f32], queries: Range<usize>, width: usize, scale: f32, to: &mut [f32]) {
        to.fill(0.0);
        for (i, query) in queries.enumerate() {
            for (to, from) in to.chunks_exact_mut(width).zip(self.row(x, self.query, query)) {
                to[i] = from * scale;
            }
        }
    }

    /// Some queries' rows `[query][channel of the head]`, padded, times `scale`; zeros where there are fewer.
    fn padded_rows(&self, x: &[f32], queries: Range<usize>, scale: f32, to: &mut [f32]) {
        to.fill(0.0);
        for (to, query) in to.chunks_exact_mut(padded(self.shape.depth)).zip(queries) {
            for (to, from) in to.iter_mut().zip(self.row(x, self.query, query)) {
                *to = from * scale;
            }
        }
    }

    /// Writes `[key][channel of the head]` to the rows of the keys from `first` on.
    fn store(&self, to: Option<Shared>, first: usize, rows: &[f32]) {
        let Some(to) = to else { return };
        let Shape { depth, .. } = self.shape;
        for (key, row) in (first..).zip(rows.chunks_exact(depth)) {
            let at = self.key + key * self.shape.channels();
            // SAFETY: whoever has a head for its keys' gradients has these keys alone.
            unsafe { to.slice(at..at + depth) }.copy_from_slice(row);
        }
    }

    /// Writes `[channel of the head][query]` to the rows of some queries, each times its `scale`.
    fn scatter(&self, to: Shared, queries: Range<usize>, width: usize, from: &[f32], scale: impl Fn(usize) -> f32) {
        for (i, query) in queries.enumerate() {
            let at = self.query + query * self.shape.channels();
            // SAFETY: whoever has a head has these queries of it alone.
            let to = unsafe { to.slice(at..at + self.shape.depth) };
            let scale = scale(i);
            for (to, from) in to.iter_mut().zip(from.chunks_exact(width)) {
                *to = from[i] * scale;
            }
        }
    }
}

/// The sample of the keys that a sample of the queries looks at.
fn row(rows: Option<&[usize]>, sample: usize) -> usize {
    rows.map_or(sample, |rows| rows[sample])
}

/// The width of a panel that holds so many queries.
fn width(queries: usize) -> usize {
    if queries <= HALF { HALF } else { PANEL }
}

/// `result[row][query] = start + Σ left[row][k] · right[k][query]`, for `rows` rows of `left` that `walk` describes and a panel `right`
/// of `width` queries.
fn multiply(
    level: Level,
    start: Start<'_>,
    (left, walk, rows): (&[f32], Walk, usize),
    (right, width): (&[f32], usize),
    result: &mut [f32],
) {
    let groups: Vec<Group> = Group::rows(0, 0, rows, walk.row, 1).collect();
    level.run(MatrixProduct {
        left,
        walk,
        groups: &groups,
        panel: Panel { values: right, width, column: 0, valid: width },
        pitch: width,
        start,
        result: Shared::new(result),
        unit: width,
        stride: width,
    });
}

/// `sum[key][channel] += Σ left[key][query] · right[query][channel]`, the rows of `right` being [`padded`].
fn add_outer(level: Level, left: &[f32], width: usize, keys: usize, right: &[f32], depth: usize, sum: &mut [f32]) {
    let pitch = padded(depth);
    let groups: Vec<Group> = Group::rows(0, 0, keys, width, 1).collect();
    let result = Shared::new(sum);
    for column in (0..depth).step_by(PANEL) {
        let valid = (depth - column).min(PANEL);
        let panel = Panel { values: &right[column..], width: padded(valid), column, valid };
        let (walk, start) = (Walk::rows(width, width), Start::Add);
        level.run(MatrixProduct {
            left,
            walk,
            groups: &groups,
            panel,
            pitch,
            start,
            result,
            unit: depth,
            stride: depth,
        });
    }
}

/// How to read the rows `[key][channel]` of so many keys as `[channel][key]`.
fn transposed(shape: Shape, keys: usize) -> Walk {
    Walk { row: 1, step: shape.depth, length: keys, segments: 1, jump: 0, planes: 1, lift: 0 }
}
