//! The value of attention with its products in bf16; scores, softmax and what comes out are in `f32`.
//!
//! The queries of a block are the columns of a panel: scores are `keys · queries`, `[key][query]` as everywhere here, and the
//! result is `valuesᵀ · exponentials`, `[channel][query]`.

use std::ops::Range;

use super::{
    super::{
        half::{DEPTH, PANEL, Ready, SIDE, STRIP, SUMS, Step, TILE, Unit, place},
        memory::{self, Shared, with_half_scratch, with_scratch},
    },
    Head, Shape, row,
    softmax::Shrink,
};
use crate::simd::{self, Level, Several, Simd, Work, round};

/// Tiles of keys whose scores stay in the core's first cache.
const CHUNK: usize = 4;

/// `softmax(q kᵀ / sqrt(depth)) v`, head by head; `rows` are the samples of the keys that those of the queries look at.
pub(crate) fn half_forward(
    (level, unit): (Level, Unit),
    [q, k, v]: [&[f32]; 3],
    shape: Shape,
    rows: Option<&[usize]>,
) -> Vec<f32> {
    let heads = shape.batch * shape.heads;
    let parts = memory::tasks().div_ceil(heads.max(1)).clamp(1, shape.queries.div_ceil(2 * PANEL).max(1));
    let tiles = Tiles::of(shape);
    // SAFETY: the parts of all heads cover every query and channel.
    unsafe {
        memory::filled(q.len(), |y| {
            memory::for_each(heads * parts, shape.work() / 4, |index| {
                let (sample, part) = (index / parts / shape.heads, index % parts);
                let head = Head::new(shape, sample, row(rows, sample), index / parts % shape.heads);
                let range = memory::part(shape.queries, PANEL, parts, part);
                with_half_scratch(tiles.of_keys() + tiles.of_values(), |buffer| {
                    let (keys, values) = buffer.split_at_mut(tiles.of_keys());
                    level.run(Pack { head, x: k, columns: false, to: keys });
                    level.run(Pack { head, x: v, columns: true, to: values });
                    let block = Block { level, head, tiles, q, keys, values, y };
                    unit.ready(|unit| {
                        for start in range.clone().step_by(PANEL) {
                            block.run(unit, start..range.end.min(start + PANEL));
                        }
                    });
                });
            });
        })
    }
}

/// How many tiles a head takes.
#[derive(Clone, Copy)]
struct Tiles {
    /// Of 32 keys, which are strips, too.
    keys: usize,
    /// Of 32 channels.
    channels: usize,
    /// Of 16 channels.
    channel_rows: usize,
}

impl Tiles {
    fn of(shape: Shape) -> Self {
        let Shape { keys, depth, .. } = shape;
        Self { keys: keys.div_ceil(DEPTH), channels: depth.div_ceil(DEPTH), channel_rows: depth.div_ceil(SIDE) }
    }

    /// Values of the keys, whose rows are keys.
    fn of_keys(self) -> usize {
        2 * self.keys * self.channels * TILE
    }

    /// Values of the values, whose rows are channels.
    fn of_values(self) -> usize {
        self.channel_rows * self.keys * TILE
    }
}

/// Brings the rows of a head's keys into the order of a left-hand side: a row each, or a column each.
struct Pack<'a> {
    head: Head,
    x: &'a [f32],
    columns: bool,
    to: &'a mut [u16],
}

impl Work for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Shape { keys, depth, .. } = self.head.shape;
        let size = if self.columns { keys } else { depth }.div_ceil(DEPTH) * TILE;
        self.to.fill(0);
        for key in 0..keys {
            let from = self.head.row(self.x, self.head.key, key);
            if self.columns {
                let at = key / DEPTH * TILE + key % DEPTH;
                for (from, to) in from.chunks(SIDE).zip(self.to.chunks_exact_mut(size)) {
                    for (channel, &value) in from.iter().enumerate() {
                        to[at + channel * DEPTH] = round(value);
                    }
                }
            } else {
                let to = &mut self.to[key / SIDE * size + key % SIDE * DEPTH..];
                for (from, to) in from.chunks(DEPTH).zip(to.chunks_mut(TILE)) {
                    for (&value, to) in from.iter().zip(to) {
                        *to = round(value);
                    }
                }
            }
        }
    }
}

/// The queries of a head, a panel at a time.
struct Block<'a> {
    level: Level,
    head: Head,
    tiles: Tiles,
    q: &'a [f32],
    keys: &'a [u16],
    values: &'a [u16],
    y: Shared,
}

impl Block<'_> {
    fn run(&self, unit: Ready, queries: Range<usize>) {
        let Tiles { keys, channels, .. } = self.tiles;
        let chunk = keys.min(CHUNK);
        with_scratch((chunk + channels) * SUMS, |buffer| {
            let (scores, result) = buffer.split_at_mut(chunk * SUMS);
            with_half_scratch((channels + chunk) * 2 * TILE, |right| {
                let (columns, pairs) = right.split_at_mut(channels * 2 * TILE);
                self.columns(queries.clone(), columns);
                let (mut largest, mut sums) = ([f32::NEG_INFINITY; 2 * PANEL], [0.0; 2 * PANEL]);
                result.fill(0.0);
                for tiles in self.chunks() {
                    self.scores(unit, tiles.clone(), columns, scores);
                    let mut shrunk = [1.0; 2 * PANEL];
                    self.level.run(Largest { scores, largest: &mut largest, shrunk: &mut shrunk });
                    if tiles.start > 0 {
                        sums.iter_mut().zip(&shrunk).for_each(|(sum, by)| *sum *= by);
                        self.level.run(Shrink { result, width: PANEL, by: &shrunk[..PANEL] });
                    }
                    self.level.run(Exponentials { scores, largest: &largest, sums: &mut sums, to: pairs });
                    let pairs = &pairs[..tiles.len() * 2 * TILE];
                    add(unit, self.values, keys * TILE, tiles.start * TILE..tiles.end * TILE, pairs, result);
                }
                let sum = |query| sums[query] + sums[PANEL + query];
                self.head.scatter(self.y, queries, PANEL, result, |query| 1.0 / sum(query));
            });
        });
    }

    /// The tiles of all keys, some at a time.
    fn chunks(&self) -> impl Iterator<Item = Range<usize>> {
        let keys = self.tiles.keys;
        (0..keys).step_by(CHUNK).map(move |start| start..keys.min(start + CHUNK))
    }

    /// Some queries as the columns of a panel, scaled; zeros where there are fewer.
    fn columns(&self, queries: Range<usize>, to: &mut [u16]) {
        to.fill(0);
        let scale = self.head.shape.scale();
        for (column, query) in queries.enumerate() {
            let from = self.head.row(self.q, self.head.query, query);
            for (pair, from) in from.chunks(2).enumerate() {
                for (value, to) in from.iter().zip(&mut to[place(2 * pair, column)..]) {
                    *to = round(value * scale);
                }
            }
        }
    }

    /// The scores of some tiles of keys, `[key][query]`; those of no key are the smallest there are.
    fn scores(&self, unit: Ready, tiles: Range<usize>, columns: &[u16], scores: &mut [f32]) {
        let size = self.tiles.channels * TILE;
        scores.fill(0.0);
        add(unit, &self.keys[tiles.start * 2 * size..tiles.end * 2 * size], size, 0..size, columns, scores);
        let keys = self.head.shape.keys - tiles.start * DEPTH;
        if let Some(beyond) = scores.get_mut(keys * PANEL..) {
            beyond.fill(f32::NEG_INFINITY);
        }
    }
}

/// `sums += left · right` for all tiles of rows, each of `size` values, of which `values` are multiplied.
fn add(unit: Ready, left: &[u16], size: usize, values: Range<usize>, right: &[u16], sums: &mut [f32]) {
    for (strip, sums) in left.chunks(2 * size).zip(sums.as_chunks_mut::<SUMS>().0) {
        match strip.split_at(size) {
            (upper, []) => unit.accumulate(Step { left: &[&upper[values.clone()]], right, sums }),
            (upper, lower) => {
                let left = [&upper[values.clone()], &lower[values.clone()]];
                unit.accumulate(Step { left: &left, right, sums });
            }
        }
    }
}

/// Vectors taken together: the scores of two keys, where a vector has sixteen.
const APART: usize = 4;

/// The largest score of each query so far, twice, and how much smaller what came before is by it.
struct Largest<'a> {
    scores: &'a [f32],
    largest: &'a mut [f32; 2 * PANEL],
    shrunk: &'a mut [f32; 2 * PANEL],
}

impl Work for Largest<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let before = *self.largest;
        let wide = Several::<S, APART>(s);
        for lane in (0..2 * PANEL).step_by(Several::<S, APART>::LANES) {
            // SAFETY: vectors divide the lanes, of which each pair of keys has as many as there are.
            unsafe {
                let s = wide;
                let to = self.largest.as_mut_ptr().add(lane);
                let mut largest = s.load(to);
                for pair in self.scores.as_chunks::<{ 2 * PANEL }>().0 {
                    largest = s.max(largest, s.load(pair.as_ptr().add(lane)));
                }
                s.store(to, largest);
            }
        }
        for query in 0..PANEL {
            let larger = self.largest[query].max(self.largest[PANEL + query]);
            (self.largest[query], self.largest[PANEL + query]) = (larger, larger);
        }
        for lane in (0..2 * PANEL).step_by(S::LANES) {
            // SAFETY: vectors divide the lanes, of which all three have as many.
            unsafe {
                let less = s.sub(s.load(before.as_ptr().add(lane)), s.load(self.largest.as_ptr().add(lane)));
                s.store(self.shrunk.as_mut_ptr().add(lane), simd::exp(s, less));
            }
        }
    }
}

/// `e^(score - largest)`, rounded, as pairs of the rows of a panel, and their sums before rounding. Where there is no key it is next to
/// nothing, and meets zeros.
struct Exponentials<'a> {
    scores: &'a [f32],
    largest: &'a [f32; 2 * PANEL],
    sums: &'a mut [f32; 2 * PANEL],
    to: &'a mut [u16],
}

impl Work for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (unit, s) = (s, Several::<S, APART>(s));
        let pairs = self.scores.as_chunks::<{ 2 * PANEL }>().0;
        for (tile, pairs) in self.to.chunks_exact_mut(2 * TILE).zip(pairs.chunks_exact(STRIP / 2)) {
            for (index, pair) in pairs.iter().enumerate() {
                let mut values = [0.0; 2 * PANEL];
                for lane in (0..2 * PANEL).step_by(Several::<S, APART>::LANES) {
                    // SAFETY: vectors divide the lanes, of which all of these have as many as there are.
                    unsafe {
                        let score = s.sub(s.load(pair.as_ptr().add(lane)), s.load(self.largest.as_ptr().add(lane)));
                        let value = simd::short_exp(s, score);
                        s.store(values.as_mut_ptr().add(lane), value);
                        let sum = self.sums.as_mut_ptr().add(lane);
                        s.store(sum, s.add(s.load(sum), value));
                    }
                }
                for lane in (0..PANEL).step_by(S::LANES) {
                    let at = lane / SIDE * TILE + index * DEPTH + lane % SIDE * 2;
                    // SAFETY: vectors divide a row of a tile, and both rows of values are a panel long.
                    unsafe {
                        let first = unit.load(values.as_ptr().add(lane));
                        let second = unit.load(values.as_ptr().add(PANEL + lane));
                        unit.store_pairs(tile.as_mut_ptr().add(at), first, second);
                    }
                }
            }
        }
    }
}
