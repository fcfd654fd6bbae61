//! The value: `valuesᵀ · exponentials`, `[channel][query]`.

use std::ops::Range;

use super::{
    super::{
        super::{
            half::{DEPTH, PANEL, Ready, SIDE, STRIP, SUMS, TILE, Unit},
            memory::{self, Shared, with_half_scratch, with_scratch},
        },
        Head, Shape, row,
        softmax::Shrink,
    },
    CHUNK, Pack, Tiles, add, chunks, columns, hide, scores,
};
use crate::simd::{self, Level, Several, Simd, Work};

/// `softmax(q kᵀ / sqrt(depth)) v`, head by head; `rows` are the samples of the keys that those of the queries look at. `ln Σ e^score`
/// of each query, `[sample][head][query]`, goes to `log_sums`.
pub(crate) fn half_forward(
    (level, unit): (Level, Unit),
    [q, k, v]: [&[f32]; 3],
    shape: Shape,
    rows: Option<&[usize]>,
    log_sums: Option<&mut [f32]>,
) -> Vec<f32> {
    let heads = shape.batch * shape.heads;
    let parts = memory::tasks().div_ceil(heads.max(1)).clamp(1, shape.queries.div_ceil(2 * PANEL).max(1));
    let tiles = Tiles::of(shape.keys, shape.depth);
    let known = log_sums.map(Shared::new);
    assert!(known.is_none_or(|known| known.len() == heads * shape.queries), "attention: values of the log sums");
    // SAFETY: the parts of all heads cover every query and channel.
    unsafe {
        memory::filled(q.len(), |y| {
            memory::for_each(heads * parts, shape.work() / 4, |index| {
                let (sample, part) = (index / parts / shape.heads, index % parts);
                let head = Head::new(shape, sample, row(rows, sample), index / parts % shape.heads);
                let range = memory::part(shape.queries, PANEL, parts, part);
                with_half_scratch(tiles.of_keys() + tiles.of_channels(), |buffer| {
                    let (keys, values) = buffer.split_at_mut(tiles.of_keys());
                    level.run(Pack { head, x: k, keys: 0..shape.keys, columns: false, to: keys });
                    level.run(Pack { head, x: v, keys: 0..shape.keys, columns: true, to: values });
                    let block = Block { level, head, tiles, q, keys, values, y, known };
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

/// The queries of a head, a panel at a time.
struct Block<'a> {
    level: Level,
    head: Head,
    tiles: Tiles,
    q: &'a [f32],
    keys: &'a [u16],
    values: &'a [u16],
    y: Shared,
    /// Where the log sums go.
    known: Option<Shared>,
}

impl Block<'_> {
    fn run(&self, unit: Ready, queries: Range<usize>) {
        let (head, Tiles { keys, channels, .. }) = (&self.head, self.tiles);
        let chunk = keys.min(CHUNK);
        with_scratch((chunk + channels) * SUMS, |buffer| {
            let (by_key, result) = buffer.split_at_mut(chunk * SUMS);
            with_half_scratch((channels + chunk) * 2 * TILE, |right| {
                let (of_queries, pairs) = right.split_at_mut(channels * 2 * TILE);
                columns(head, self.q, queries.clone(), head.shape.scale(), of_queries);
                let (mut largest, mut sums) = ([f32::NEG_INFINITY; 2 * PANEL], [0.0; 2 * PANEL]);
                result.fill(0.0);
                for some in chunks(self.tiles) {
                    let by_key = &mut by_key[..some.len() * SUMS];
                    scores(unit, self.tiles, some.clone(), self.keys, of_queries, by_key);
                    hide(head.shape.keys - some.start * DEPTH, by_key);
                    let mut shrunk = [1.0; 2 * PANEL];
                    self.level.run(Largest { scores: by_key, largest: &mut largest, shrunk: &mut shrunk });
                    if some.start > 0 {
                        sums.iter_mut().zip(&shrunk).for_each(|(sum, by)| *sum *= by);
                        self.level.run(Shrink { result, width: PANEL, by: &shrunk[..PANEL] });
                    }
                    self.level.run(Exponentials { scores: by_key, largest: &largest, sums: &mut sums, to: pairs });
                    let pairs = &pairs[..some.len() * 2 * TILE];
                    add(unit, self.values, keys * TILE, some.start * TILE..some.end * TILE, pairs, result);
                }
                let sum = |query| sums[query] + sums[PANEL + query];
                if let Some(known) = self.known {
                    // SAFETY: whoever has a head has these queries of it alone.
                    let log_sums = unsafe { known.slice(head.known + queries.start..head.known + queries.end) };
                    for (query, to) in log_sums.iter_mut().enumerate() {
                        *to = largest[query] + sum(query).ln();
                    }
                }
                head.scatter(self.y, queries, PANEL, result, |query| 1.0 / sum(query));
            });
        });
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
