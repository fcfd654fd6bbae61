//! Attention with its products in bf16; scores, softmax and what comes out are in `f32`.
//!
//! The queries of a block are the columns of a panel: scores are `keys · queries`, `[key][query]` as everywhere here.

mod backward;
mod forward;

use std::ops::Range;

pub(crate) use backward::half_backward;
pub(crate) use forward::half_forward;

use super::{
    super::half::{DEPTH, PANEL, Ready, SIDE, SUMS, Step, TILE, place},
    Head,
};
use crate::simd::{Simd, Work, round};

/// Tiles of keys whose scores stay in the core's first cache.
const CHUNK: usize = 4;

/// How many tiles some keys of a head take.
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
    fn of(keys: usize, depth: usize) -> Self {
        Self { keys: keys.div_ceil(DEPTH), channels: depth.div_ceil(DEPTH), channel_rows: depth.div_ceil(SIDE) }
    }

    /// Values of a left-hand side whose rows are keys.
    fn of_keys(self) -> usize {
        2 * self.keys * self.channels * TILE
    }

    /// Values of a left-hand side whose rows are channels.
    fn of_channels(self) -> usize {
        self.channel_rows * self.keys * TILE
    }
}

/// Brings the rows of some keys of a head into the order of a left-hand side: a row each, or a column each.
struct Pack<'a> {
    head: Head,
    x: &'a [f32],
    keys: Range<usize>,
    columns: bool,
    to: &'a mut [u16],
}

impl Work for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let size = if self.columns { self.keys.len() } else { self.head.shape.depth }.div_ceil(DEPTH) * TILE;
        self.to.fill(0);
        for (key, index) in self.keys.enumerate() {
            let from = self.head.row(self.x, self.head.key, index);
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

/// Some queries' rows as the columns of a panel, times `scale`; zeros where there are fewer.
fn columns(head: &Head, x: &[f32], queries: Range<usize>, scale: f32, to: &mut [u16]) {
    to.fill(0);
    for (column, query) in queries.enumerate() {
        for (pair, from) in head.row(x, head.query, query).chunks(2).enumerate() {
            for (value, to) in from.iter().zip(&mut to[place(2 * pair, column)..]) {
                *to = round(value * scale);
            }
        }
    }
}

/// The scores of the keys of some tiles, or what is multiplied in their place, `[key][query]`.
fn scores(unit: Ready, tiles: Tiles, some: Range<usize>, left: &[u16], columns: &[u16], scores: &mut [f32]) {
    let size = tiles.channels * TILE;
    scores.fill(0.0);
    add(unit, &left[some.start * 2 * size..some.end * 2 * size], size, 0..size, columns, scores);
}

/// Makes the scores of no key the smallest there are, where `keys` are those from the first on.
fn hide(keys: usize, scores: &mut [f32]) {
    if let Some(beyond) = scores.get_mut(keys * PANEL..) {
        beyond.fill(f32::NEG_INFINITY);
    }
}

/// All tiles of keys, some at a time.
fn chunks(tiles: Tiles) -> impl Iterator<Item = Range<usize>> {
    (0..tiles.keys).step_by(CHUNK).map(move |start| start..tiles.keys.min(start + CHUNK))
}
