//! The gradients over many keys: some tiles of them stay near the core, with their sums, while all queries go by.
//!
//! Weights are computed again from the same rounded factors as in the value. They and the gradients of the scores are rounded for
//! the products they enter; every sum is in `f32`.

use std::ops::Range;

use super::{
    super::{
        super::{
            half::{DEPTH, PANEL, Ready, SIDE, STRIP, SUMS, TILE, Unit, place},
            memory::{Shared, with_half_scratch, with_scratch},
        },
        Head, Known, Shape,
        backward::by_head,
    },
    CHUNK, Pack, Tiles, add, chunks, columns, hide, scores,
};
use crate::simd::{self, Level, Several, Simd, Work, round};

/// Tiles of keys that stay near the core while all queries go by.
const NEAR: usize = 16;

/// The gradients of the tracked ones of `q`, `k` and `v`, from what the value in bf16 knows.
pub(crate) fn half_backward(
    (level, unit): (Level, Unit),
    [q, k, v]: [&[f32]; 3],
    known: Known<'_>,
    g: &[f32],
    shape: Shape,
    rows: Option<&[usize]>,
    tracked: [bool; 3],
) -> [Option<Vec<f32>>; 3] {
    assert_eq!(g.len(), q.len(), "attention: values of the gradient");
    by_head([q, k, v].map(<[f32]>::len), shape, rows, tracked, |heads, gradients| {
        GradientHead { level, q, k, v, g, known, head: heads[0] }.run(unit, heads, gradients);
    })
}

/// The backward pass of one head, for all samples that look at the same keys.
struct GradientHead<'a> {
    level: Level,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    g: &'a [f32],
    known: Known<'a>,
    /// The head of any of the samples.
    head: Head,
}

/// Some queries of a head and the right-hand sides that they are, each a panel for every 32 channels.
struct Queries<'a> {
    head: &'a Head,
    range: Range<usize>,
    log_sums: [f32; PANEL],
    /// What the weights of a query and their gradients have in common with all keys: `g · value`.
    dots: [f32; PANEL],
    /// Scaled queries, and gradients of the value: `[channel][query]`.
    columns: [&'a [u16]; 2],
    /// The same as `[query][channel]`, the queries in the order of [`turn`].
    rows: [&'a [u16]; 2],
}

/// Some keys near the core.
struct Near<'a> {
    tiles: Tiles,
    count: usize,
    /// Keys, and values: `[key][channel]`.
    rows: [&'a [u16]; 2],
    /// Keys: `[channel][key]`.
    columns: &'a [u16],
}

/// Sums of gradients: those of the near keys and their values, by panels of channels and strips of keys; those of the queries, by strips
/// of channels.
struct Sums<'a> {
    keys: &'a mut [f32],
    values: &'a mut [f32],
    queries: &'a mut [f32],
}

/// What the scores of a chunk become.
struct Room<'a> {
    scores: &'a mut [f32],
    slopes: &'a mut [f32],
    /// Weights, and gradients of scores, as left-hand sides `[key][query]`.
    rows: [&'a mut [u16]; 2],
    /// Gradients of scores as a right-hand side, pairs of keys.
    pairs: &'a mut [u16],
}

impl GradientHead<'_> {
    fn run(&self, unit: Unit, heads: &[Head], [dq, dk, dv]: [Option<Shared>; 3]) {
        let Shape { keys, depth, queries, .. } = self.head.shape;
        let starts: Vec<(&Head, usize)> =
            heads.iter().flat_map(|head| (0..queries).step_by(PANEL).map(move |at| (head, at))).collect();
        let most = Tiles::of(keys.min(NEAR * DEPTH), depth);
        let (panel, sum) = (most.channels * 2 * TILE, most.channels * SUMS);
        let (chunk, near) = (CHUNK.min(most.keys), most.keys * DEPTH * depth);
        with_half_scratch(starts.len() * 4 * panel, |right| {
            for ((head, at), to) in starts.iter().zip(right.chunks_exact_mut(4 * panel)) {
                self.pack(head, *at..queries.min(at + PANEL), to);
            }
            let blocks: Vec<Queries<'_>> = (starts.iter().zip(right.chunks_exact(4 * panel)))
                .map(|((head, at), right)| self.queries(head, *at..queries.min(at + PANEL), right))
                .collect();
            let sizes = [
                most.of_keys(),
                most.of_keys(),
                most.of_channels(),
                chunk * 2 * TILE,
                chunk * 2 * TILE,
                chunk * 2 * TILE,
            ];
            with_half_scratch(sizes.iter().sum(), |buffer| {
                let [key_rows, value_rows, key_columns, weights, slopes, pairs] = cut(buffer, sizes);
                let sizes = [starts.len() * sum, most.keys * sum, most.keys * sum, chunk * SUMS, chunk * SUMS, near];
                with_scratch(sizes.iter().sum(), |buffer| {
                    let [query_sums, key_sums, value_sums, scores, by_slope, gathered] = cut(buffer, sizes);
                    query_sums.fill(0.0);
                    let mut room = Room { scores, slopes: by_slope, rows: [weights, slopes], pairs };
                    for first in (0..keys).step_by(NEAR * DEPTH) {
                        let range = first..keys.min(first + NEAR * DEPTH);
                        let tiles = Tiles::of(range.len(), depth);
                        let rows = [(self.k, &mut *key_rows), (self.v, &mut *value_rows)].map(|(x, to)| {
                            let to = &mut to[..tiles.of_keys()];
                            self.level.run(Pack { head: self.head, x, keys: range.clone(), columns: false, to });
                            &*to
                        });
                        let columns = &mut key_columns[..tiles.of_channels()];
                        self.level.run(Pack {
                            head: self.head,
                            x: self.k,
                            keys: range.clone(),
                            columns: true,
                            to: columns,
                        });
                        let near = Near { tiles, count: range.len(), rows, columns };
                        let [keys, values] =
                            [&mut *key_sums, &mut *value_sums].map(|sums| &mut sums[..tiles.keys * sum]);
                        keys.fill(0.0);
                        values.fill(0.0);
                        unit.ready(|unit| {
                            for (block, queries) in blocks.iter().zip(query_sums.chunks_exact_mut(sum)) {
                                let mut sums = Sums { keys, values, queries };
                                self.block(unit, block, &near, &mut room, &mut sums, [dq, dk, dv].map(|x| x.is_some()));
                            }
                        });
                        // Queries were scaled before they were summed into the keys' gradient.
                        for (to, sums) in [(dk, keys), (dv, values)] {
                            let rows = &mut gathered[..range.len() * depth];
                            gather(sums, tiles, rows, depth);
                            self.head.store(to, first, rows);
                        }
                    }
                    let Some(dq) = dq else { return };
                    for (Queries { head, range, .. }, sum) in blocks.iter().zip(query_sums.chunks_exact(sum)) {
                        head.scatter(dq, range.clone(), PANEL, sum, |_| head.shape.scale());
                    }
                });
            });
        });
    }

    /// Brings the right-hand sides of some queries into their order.
    fn pack(&self, head: &Head, queries: Range<usize>, to: &mut [u16]) {
        let [q_columns, g_columns, q_rows, g_rows] = quarters_mut(to);
        let scale = head.shape.scale();
        columns(head, self.q, queries.clone(), scale, q_columns);
        columns(head, self.g, queries.clone(), 1.0, g_columns);
        for (x, scale, to) in [(self.q, scale, q_rows), (self.g, 1.0, g_rows)] {
            to.fill(0);
            for (index, query) in queries.clone().enumerate() {
                let row = head.row(x, head.query, query);
                for (from, to) in row.chunks(PANEL).zip(to.chunks_exact_mut(2 * TILE)) {
                    for (column, value) in from.iter().enumerate() {
                        to[place(turn(index), column)] = round(value * scale);
                    }
                }
            }
        }
    }

    /// Some queries, with what is known of them.
    fn queries<'a>(&self, head: &'a Head, range: Range<usize>, right: &'a [u16]) -> Queries<'a> {
        let (mut log_sums, mut dots) = ([0.0; PANEL], [0.0; PANEL]);
        log_sums[..range.len()].copy_from_slice(&self.known.log_sums[head.known..][range.clone()]);
        for (dot, query) in dots.iter_mut().zip(range.clone()) {
            let rows = head.row(self.g, head.query, query).iter().zip(head.row(self.known.value, head.query, query));
            // The gradient as the products have it, so that the slopes of a query cancel.
            *dot = rows.map(|(g, value)| f32::from_bits(u32::from(round(*g)) << 16) * value).sum();
        }
        let quarter = right.len() / 4;
        let [q_columns, g_columns, q_rows, g_rows] = [0, 1, 2, 3].map(|i| &right[i * quarter..(i + 1) * quarter]);
        Queries { head, range, log_sums, dots, columns: [q_columns, g_columns], rows: [q_rows, g_rows] }
    }

    /// The part of the gradients that some queries and the near keys bring.
    fn block(
        &self,
        unit: Ready,
        block: &Queries<'_>,
        near: &Near<'_>,
        room: &mut Room<'_>,
        sums: &mut Sums<'_>,
        [dq, dk, dv]: [bool; 3],
    ) {
        let tiles = near.tiles;
        for some in chunks(tiles) {
            let [by_key, slopes] = [&mut *room.scores, &mut *room.slopes].map(|x| &mut x[..some.len() * SUMS]);
            scores(unit, tiles, some.clone(), near.rows[0], block.columns[0], by_key);
            hide(near.count - some.start * DEPTH, by_key);
            scores(unit, tiles, some.clone(), near.rows[1], block.columns[1], slopes);
            let values = some.len() * 2 * TILE;
            let [weights, slope_rows] = room.rows.each_mut().map(|rows| &mut rows[..values]);
            let pairs = &mut room.pairs[..values];
            let (log_sums, dots) = (&block.log_sums, &block.dots);
            self.level.run(Slopes { scores: by_key, slopes, log_sums, dots, weights, rows: slope_rows, pairs });
            for (wanted, left, right, sums) in
                [(dv, &*weights, block.rows[1], &mut *sums.values), (dk, &*slope_rows, block.rows[0], &mut *sums.keys)]
            {
                let panels = right.chunks_exact(2 * TILE).zip(sums.chunks_exact_mut(tiles.keys * SUMS));
                for (right, sums) in panels.filter(|_| wanted) {
                    add(unit, left, TILE, 0..TILE, right, &mut sums[some.start * SUMS..some.end * SUMS]);
                }
            }
            if dq {
                let values = some.start * TILE..some.end * TILE;
                add(unit, near.columns, tiles.keys * TILE, values, pairs, sums.queries);
            }
        }
    }
}

/// Where a query of a panel is among the rows of a right-hand side: a left-hand side has its query next to the one half a panel away,
/// as two vectors are rounded together.
fn turn(query: usize) -> usize {
    query % SIDE * 2 + query / SIDE
}

/// Cuts the front of a buffer into parts.
fn cut<T, const N: usize>(buffer: &mut [T], sizes: [usize; N]) -> [&mut [T]; N] {
    let mut rest = buffer;
    sizes.map(|size| {
        let (part, others) = std::mem::take(&mut rest).split_at_mut(size);
        rest = others;
        part
    })
}

/// A buffer in four equal parts.
fn quarters_mut<T>(buffer: &mut [T]) -> [&mut [T]; 4] {
    let quarter = buffer.len() / 4;
    cut(buffer, [quarter; 4])
}

/// Sums by panels and strips as rows `[key][channel]`.
fn gather(sums: &[f32], tiles: Tiles, rows: &mut [f32], depth: usize) {
    for (key, row) in rows.chunks_exact_mut(depth).enumerate() {
        let panels = sums.chunks_exact(tiles.keys * SUMS);
        for (to, from) in row.chunks_mut(PANEL).zip(panels) {
            to.copy_from_slice(&from[key / STRIP * SUMS + key % STRIP * PANEL..][..to.len()]);
        }
    }
}

/// Turns the scores of some keys into weights and the gradients of the weights into those of the scores, rounded, in the orders of
/// the products that they enter.
struct Slopes<'a> {
    scores: &'a [f32],
    slopes: &'a [f32],
    log_sums: &'a [f32; PANEL],
    dots: &'a [f32; PANEL],
    weights: &'a mut [u16],
    rows: &'a mut [u16],
    pairs: &'a mut [u16],
}

impl Work for Slopes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (unit, s) = (s, Several::<S, 2>(s));
        let [log_sums, dots] =
            [self.log_sums, self.dots].map(|x| -> [f32; 2 * PANEL] { std::array::from_fn(|i| x[i % PANEL]) });
        let from = self.scores.as_chunks::<{ 2 * PANEL }>().0.iter().zip(self.slopes.as_chunks::<{ 2 * PANEL }>().0);
        let rows = self
            .weights
            .as_chunks_mut::<{ 2 * DEPTH }>()
            .0
            .iter_mut()
            .zip(self.rows.as_chunks_mut::<{ 2 * DEPTH }>().0);
        for (index, ((scores, slopes), (weight_rows, slope_rows))) in from.zip(rows).enumerate() {
            let (mut weights, mut changed) = ([0.0; 2 * PANEL], [0.0; 2 * PANEL]);
            for lane in (0..2 * PANEL).step_by(Several::<S, 2>::LANES) {
                // SAFETY: vectors divide the lanes, of which all of these have as many as there are.
                unsafe {
                    let score = s.sub(s.load(scores.as_ptr().add(lane)), s.load(log_sums.as_ptr().add(lane)));
                    let weight = simd::short_exp(s, score);
                    s.store(weights.as_mut_ptr().add(lane), weight);
                    let slope = s.sub(s.load(slopes.as_ptr().add(lane)), s.load(dots.as_ptr().add(lane)));
                    s.store(changed.as_mut_ptr().add(lane), s.mul(weight, slope));
                }
            }
            let pairs = &mut self.pairs[index / (STRIP / 2) * 2 * TILE + index % (STRIP / 2) * DEPTH..];
            for lane in (0..SIDE).step_by(S::LANES) {
                // SAFETY: vectors divide a row of a tile; both rows of values are a panel long, and `pairs` has a row of each of two tiles.
                unsafe {
                    for (values, to) in [(&weights, &mut *weight_rows), (&changed, &mut *slope_rows)] {
                        for key in 0..2 {
                            let first = unit.load(values.as_ptr().add(key * PANEL + lane));
                            let second = unit.load(values.as_ptr().add(key * PANEL + SIDE + lane));
                            unit.store_pairs(to.as_mut_ptr().add(key * DEPTH + 2 * lane), first, second);
                        }
                    }
                    for half in 0..2 {
                        let first = unit.load(changed.as_ptr().add(half * SIDE + lane));
                        let second = unit.load(changed.as_ptr().add(PANEL + half * SIDE + lane));
                        unit.store_pairs(pairs[half * TILE..].as_mut_ptr().add(2 * lane), first, second);
                    }
                }
            }
        }
    }
}
