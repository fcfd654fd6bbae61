//! Attention, a block of queries at a time: the scores of a block stay in the core's cache, and the
//! full matrix of scores never exists. The backward pass computes them again.

use super::{
    linear::with_panel,
    memory::{self, Shared, with_scratch},
    pack::{PANEL, Panel, Panels, padded},
    product::{Group, Product, Start},
    tile::{GROUP, Walk},
};
use crate::{
    Mask,
    simd::{self, Level, Simd, Work},
};

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

impl Shape {
    fn channels(&self) -> usize {
        self.heads * self.depth
    }

    fn scale(&self) -> f32 {
        (self.depth as f32).sqrt().recip()
    }

    /// Queries of a block: as many as keep the scores within a quarter megabyte, in whole tiles.
    fn block(&self) -> usize {
        let rows = (1 << 16) / padded(self.keys);
        (rows / 12 * 12).clamp(12, 96)
    }

    /// Multiply-adds and the exponentials, in floating-point operations.
    fn work(&self) -> usize {
        self.batch * self.heads * self.queries * self.keys * (4 * self.depth + 32)
    }

    /// How many keys query `query` may look at.
    fn visible(&self, query: usize) -> usize {
        match self.mask {
            Mask::None => self.keys,
            Mask::Causal => self.keys.min(query + 1),
        }
    }
}

/// Distance between the rows of a block of scores: an odd number of cache lines, so that the rows of a
/// tile do not share a set of the cache.
fn pitch(keys: usize) -> usize {
    (keys.div_ceil(16) | 1) * 16
}

/// One head of one sample.
#[derive(Clone, Copy)]
struct Head {
    shape: Shape,
    /// First value of the head's first query, and of its first key.
    query: usize,
    key: usize,
}

impl Head {
    fn new(shape: Shape, index: usize) -> Self {
        let (sample, head) = (index / shape.heads, index % shape.heads);
        let first = head * shape.depth;
        Self {
            shape,
            query: sample * shape.queries * shape.channels() + first,
            key: sample * shape.keys * shape.channels() + first,
        }
    }

    /// Row `index` of the head in a tensor whose head starts at `start`.
    fn row<'a>(&self, x: &'a [f32], start: usize, index: usize) -> &'a [f32] {
        &x[start + index * self.shape.channels()..][..self.shape.depth]
    }

    /// The rows of all keys in one piece, `[keys, depth]`, times `scale`.
    fn gather(&self, x: &[f32], start: usize, first: usize, to: &mut [f32], scale: f32) {
        for (i, to) in to.chunks_exact_mut(self.shape.depth).enumerate() {
            for (to, from) in to.iter_mut().zip(self.row(x, start, first + i)) {
                *to = from * scale;
            }
        }
    }
}

/// `softmax(q kᵀ / sqrt(depth)) v`, head by head.
pub(crate) fn forward(level: Level, q: &[f32], k: &[f32], v: &[f32], shape: Shape) -> Vec<f32> {
    let heads = shape.batch * shape.heads;
    let parts = memory::tasks().div_ceil(heads.max(1)).clamp(1, shape.queries.div_ceil(48).max(1));
    // SAFETY: the parts of all heads cover every query and channel.
    unsafe {
        memory::filled(q.len(), |y| {
            memory::for_each(heads * parts, shape.work(), |index| {
                let head = Head::new(shape, index / parts);
                let range = memory::part(shape.queries, 12, parts, index % parts);
                let (keys, depth) = (shape.keys, shape.depth);
                with_scratch(keys * depth, |rows| {
                    head.gather(k, head.key, 0, rows, 1.0);
                    let by_key = Panels::pack_adjoint(&[Panel::whole(rows, depth)], &[0], keys, depth);
                    head.gather(v, head.key, 0, rows, 1.0);
                    let values = Panels::pack(rows, keys, depth);
                    for start in range.clone().step_by(shape.block()) {
                        let end = range.end.min(start + shape.block());
                        block(level, q, &by_key, &values, head, start..end, y);
                    }
                });
            });
        })
    }
}

/// The result for some queries of a head.
fn block(
    level: Level,
    q: &[f32],
    by_key: &Panels,
    values: &Panels,
    head: Head,
    queries: std::ops::Range<usize>,
    y: Shared,
) {
    let Shape { depth, keys, .. } = head.shape;
    let count = queries.len();
    let room = count.next_multiple_of(GROUP);
    let wide = pitch(keys);
    with_scratch(room * (2 * depth + wide + 1), |buffer| {
        let (rows, buffer) = buffer.split_at_mut(room * depth);
        let (result, buffer) = buffer.split_at_mut(room * depth);
        let (scores, sums) = buffer.split_at_mut(room * wide);
        head.gather(q, head.query, queries.start, &mut rows[..count * depth], head.shape.scale());
        rows[count * depth..].fill(0.0);
        multiply(level, rows, depth, by_key, scores, wide);
        level.run(Softmax { scores, wide, sums, first: queries.start, count, shape: head.shape });
        multiply_rows(level, scores, wide, keys, values, result, depth);
        for i in 0..count {
            let at = head.query + (queries.start + i) * head.shape.channels();
            // SAFETY: this task alone has these queries of this head.
            let to = unsafe { y.slice(at..at + depth) };
            let inverse = 1.0 / sums[i];
            for (to, from) in to.iter_mut().zip(&result[i * depth..]) {
                *to = from * inverse;
            }
        }
    });
}

/// `result = left · right`, the rows of `left` being as long as those of `right` are many.
fn multiply(level: Level, left: &[f32], k: usize, right: &Panels, result: &mut [f32], stride: usize) {
    multiply_rows(level, left, k, k, right, result, stride);
}

/// `result = left · right` over the first `k` values of rows `pitch` apart; the number of rows is a
/// multiple of four.
fn multiply_rows(
    level: Level,
    left: &[f32],
    pitch: usize,
    k: usize,
    right: &Panels,
    result: &mut [f32],
    stride: usize,
) {
    let rows = left.len() / pitch.max(1);
    let groups: Vec<Group> = (0..rows).step_by(GROUP).map(|r| Group { from: r * pitch, to: r, rows: GROUP }).collect();
    let result = Shared::new(&mut result[..rows * stride]);
    for index in 0..right.count() {
        let panel = right.panel(index);
        let (walk, start) = (Walk::rows(k, pitch), Start::Zero);
        let pitch = panel.width;
        level.run(Product { left, walk, groups: &groups, panel, pitch, start, result, unit: stride, stride });
    }
}

/// `result += leftᵀ · right` for `left [rows, wide]`, of which `keys` columns count, and
/// `right [rows, depth]`.
fn add_outer(level: Level, left: &[f32], wide: usize, keys: usize, right: &[f32], depth: usize, result: &mut [f32]) {
    let rows = right.len() / depth;
    let walk = Walk { row: 1, step: wide, length: rows, segments: 1, jump: 0, planes: 1, lift: 0 };
    let groups: Vec<Group> =
        (0..keys).step_by(GROUP).map(|c| Group { from: c, to: c, rows: GROUP.min(keys - c) }).collect();
    let result = Shared::new(result);
    for index in 0..depth.div_ceil(PANEL) {
        with_panel(right, depth, index, |panel, pitch| {
            let (start, stride) = (Start::Add, depth);
            level.run(Product { left, walk, groups: &groups, panel, pitch, start, result, unit: stride, stride });
        });
    }
}

/// Turns scores into `e^(score - largest)` and their sums; zero where a query may not look.
struct Softmax<'a> {
    scores: &'a mut [f32],
    wide: usize,
    sums: &'a mut [f32],
    first: usize,
    count: usize,
    shape: Shape,
}

impl Work for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (i, row) in self.scores.chunks_exact_mut(self.wide).enumerate().take(self.count) {
            let visible = self.shape.visible(self.first + i);
            let (seen, hidden) = row.split_at_mut(visible);
            hidden.fill(0.0);
            self.sums[i] = exponentials(s, seen);
        }
        for row in self.scores.chunks_exact_mut(self.wide).skip(self.count) {
            row.fill(0.0);
        }
    }
}

/// Replaces a row by `e^(x - largest)`; gives the sum.
#[inline(always)]
fn exponentials<S: Simd>(s: S, row: &mut [f32]) -> f32 {
    let whole = row.len() / S::LANES * S::LANES;
    let rest = row.len() - whole;
    let mut top = s.splat(f32::NEG_INFINITY);
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: a whole vector from `at` on is within the row.
        top = s.max(top, unsafe { s.load(row.as_ptr().add(at)) });
    }
    let largest = row[whole..].iter().copied().fold(s.largest(top), f32::max);
    let largest = s.splat(largest);
    let mut sum = s.splat(0.0);
    for at in (0..whole).step_by(S::LANES) {
        // SAFETY: as above.
        unsafe {
            let at = row.as_mut_ptr().add(at);
            let e = simd::exp(s, s.sub(s.load(at), largest));
            s.store(at, e);
            sum = s.add(sum, e);
        }
    }
    if rest > 0 {
        // SAFETY: `rest` values from `whole` on are within the row.
        unsafe {
            let at = row.as_mut_ptr().add(whole);
            let e = s.first(simd::exp(s, s.sub(s.load_partial(at, rest), largest)), rest);
            s.store_partial(at, e, rest);
            sum = s.add(sum, e);
        }
    }
    s.sum(sum)
}

/// The gradients of the tracked ones of `q`, `k` and `v`.
pub(crate) fn backward(
    level: Level,
    [q, k, v]: [&[f32]; 3],
    g: &[f32],
    shape: Shape,
    tracked: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    assert_eq!(g.len(), q.len(), "attention: values of the gradient");
    let heads = shape.batch * shape.heads;
    let sizes = [q.len(), k.len(), v.len()];
    let mut gradients: [Option<Vec<f32>>; 3] = std::array::from_fn(|i| tracked[i].then(|| vec![0.0; sizes[i]]));
    let [dq, dk, dv] = gradients.each_mut().map(|x| x.as_mut().map(|x| Shared::new(x)));
    memory::for_each(heads, shape.work() * 3, |index| {
        let head = Head::new(shape, index);
        let task = BackwardHead { level, q, k, v, g, head };
        task.run(dq, dk, dv);
    });
    gradients
}

/// The backward pass of one head.
struct BackwardHead<'a> {
    level: Level,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    g: &'a [f32],
    head: Head,
}

impl BackwardHead<'_> {
    fn run(&self, dq: Option<Shared>, dk: Option<Shared>, dv: Option<Shared>) {
        let Shape { keys, depth, queries, .. } = self.head.shape;
        with_scratch(3 * keys * depth, |buffer| {
            let (rows, buffer) = buffer.split_at_mut(keys * depth);
            let (key_sum, value_sum) = buffer.split_at_mut(keys * depth);
            key_sum.fill(0.0);
            value_sum.fill(0.0);
            self.head.gather(self.v, self.head.key, 0, rows, 1.0);
            let by_value = Panels::pack_adjoint(&[Panel::whole(rows, depth)], &[0], keys, depth);
            self.head.gather(self.k, self.head.key, 0, rows, 1.0);
            let by_key = Panels::pack_adjoint(&[Panel::whole(rows, depth)], &[0], keys, depth);
            let keys_packed = Panels::pack(rows, keys, depth);
            let block = self.head.shape.block();
            for start in (0..queries).step_by(block) {
                let range = start..queries.min(start + block);
                let panels = [&by_key, &by_value, &keys_packed];
                let sums = (dk.is_some().then_some(&mut *key_sum), dv.is_some().then_some(&mut *value_sum));
                self.block(panels, range, dq, sums);
            }
            // Queries were scaled before they were summed into the keys' gradient.
            self.scatter(dk, self.head.key, 0, key_sum, 1.0);
            self.scatter(dv, self.head.key, 0, value_sum, 1.0);
        });
    }

    /// The part of the gradients that some queries bring.
    fn block(
        &self,
        [by_key, by_value, keys_packed]: [&Panels; 3],
        queries: std::ops::Range<usize>,
        dq: Option<Shared>,
        (key_sum, value_sum): (Option<&mut [f32]>, Option<&mut [f32]>),
    ) {
        let (level, head, shape) = (self.level, self.head, self.head.shape);
        let Shape { keys, depth, .. } = shape;
        let count = queries.len();
        let room = count.next_multiple_of(GROUP);
        let wide = pitch(keys);
        with_scratch(room * (2 * depth + 2 * wide + 1), |buffer| {
            let (rows, buffer) = buffer.split_at_mut(room * depth);
            let (given, buffer) = buffer.split_at_mut(room * depth);
            let (weights, buffer) = buffer.split_at_mut(room * wide);
            let (slopes, sums) = buffer.split_at_mut(room * wide);
            head.gather(self.q, head.query, queries.start, &mut rows[..count * depth], shape.scale());
            head.gather(self.g, head.query, queries.start, &mut given[..count * depth], 1.0);
            rows[count * depth..].fill(0.0);
            given[count * depth..].fill(0.0);
            multiply(level, rows, depth, by_key, weights, wide);
            level.run(Softmax { scores: weights, wide, sums, first: queries.start, count, shape });
            multiply(level, given, depth, by_value, slopes, wide);
            level.run(Slope { weights, slopes, wide, sums, count, keys });
            let (rows, given) = (&mut rows[..count * depth], &given[..count * depth]);
            if let Some(sum) = value_sum {
                add_outer(level, weights, wide, keys, given, depth, sum);
            }
            if let Some(sum) = key_sum {
                add_outer(level, slopes, wide, keys, rows, depth, sum);
            }
            if dq.is_some() {
                with_scratch(room * depth, |result| {
                    multiply_rows(level, slopes, wide, keys, keys_packed, result, depth);
                    let result = &result[..count * depth];
                    self.scatter(dq, head.query, queries.start, result, shape.scale());
                });
            }
        });
    }

    /// Writes rows of the head to a tensor whose head starts at `start`, times `scale`.
    fn scatter(&self, to: Option<Shared>, start: usize, first: usize, rows: &[f32], scale: f32) {
        let Some(to) = to else { return };
        let Shape { depth, .. } = self.head.shape;
        for (i, row) in rows.chunks_exact(depth).enumerate() {
            let at = start + (first + i) * self.head.shape.channels();
            // SAFETY: this task alone has this head.
            let to = unsafe { to.slice(at..at + depth) };
            for (to, from) in to.iter_mut().zip(row) {
                *to = from * scale;
            }
        }
    }
}

/// Normalises the weights and turns the gradients of the weights into those of the scores:
/// `p (s - Σ p s)`.
struct Slope<'a> {
    weights: &'a mut [f32],
    slopes: &'a mut [f32],
    wide: usize,
    sums: &'a [f32],
    count: usize,
    keys: usize,
}

impl Work for Slope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self.weights.chunks_exact_mut(self.wide).zip(self.slopes.chunks_exact_mut(self.wide));
        for (i, (weights, slopes)) in rows.enumerate() {
            if i >= self.count {
                slopes.fill(0.0);
                continue;
            }
            // Whole vectors reach past the last key, where the weights are zero and the slopes arbitrary.
            let columns = self.keys.next_multiple_of(S::LANES);
            slopes[self.keys..].fill(0.0);
            let inverse = s.splat(1.0 / self.sums[i]);
            let mut dot = s.splat(0.0);
            for at in (0..columns).step_by(S::LANES) {
                // SAFETY: rows are a multiple of 16 long, so a whole vector is within them.
                unsafe {
                    let to = weights.as_mut_ptr().add(at);
                    let p = s.mul(s.load(to), inverse);
                    s.store(to, p);
                    dot = s.fma(p, s.load(slopes.as_ptr().add(at)), dot);
                }
            }
            let dot = s.splat(s.sum(dot));
            for at in (0..columns).step_by(S::LANES) {
                // SAFETY: as above.
                unsafe {
                    let to = slopes.as_mut_ptr().add(at);
                    let p = s.load(weights.as_ptr().add(at));
                    s.store(to, s.mul(p, s.sub(s.load(to), dot)));
                }
            }
        }
    }
}
