//! Groups of rows times a panel: picks the tile shape, starts it and stores it.

use super::{
    memory::Shared,
    pack::Panel,
    tile::{self, GROUP, Tile, Walk},
};
use crate::simd::{Simd, Work};

/// Up to four rows of the left-hand side and where their results go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// The first row's first element, as an index into the left-hand side.
    pub from: usize,
    /// The row of the result.
    pub to: usize,
    /// Rows in use; the others are computed and dropped.
    pub rows: usize,
}

impl Group {
    /// The groups of `count` rows: the left-hand side's begin at `from`, `step` apart, and the result's at `to`, `spread`
    /// apart.
    pub(super) fn rows(from: usize, to: usize, count: usize, step: usize, spread: usize) -> impl Iterator<Item = Self> {
        (0..count).step_by(GROUP).map(move |row| Self {
            from: from + row * step,
            to: to + row * spread,
            rows: GROUP.min(count - row),
        })
    }
}

/// What the result starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// A value per column, as long as the padded columns.
    Bias(&'a [f32]),
    /// Zero; what is in memory is added at the end.
    Add,
    /// What is in memory: the sum goes on where a part of `K` ended, with the same bits as in one go.
    Continue,
}

impl Start<'_> {
    /// Where part `index` of `K` starts from.
    pub(super) fn of_part(self, index: usize) -> Self {
        if index == 0 { self } else { Self::Continue }
    }
}

/// `result = start + left · panel` for some groups of rows.
pub(crate) struct MatrixProduct<'a> {
    pub left: &'a [f32],
    pub walk: Walk,
    pub groups: &'a [Group],
    pub panel: Panel<'a>,
    /// Distance between the rows of the panel's values.
    pub pitch: usize,
    pub start: Start<'a>,
    pub result: Shared,
    /// Distance between the rows of the result that [`Group::to`] counts.
    pub unit: usize,
    /// Distance between the rows of a group in the result.
    pub stride: usize,
}

impl MatrixProduct<'_> {
    /// Checks the bounds that the tiles rely on.
    fn check(&self) {
        let reach = self.walk.reach();
        let depth = self.walk.depth();
        for group in self.groups {
            assert!(group.rows <= GROUP && group.from + reach <= self.left.len());
            let last = group.to * self.unit + group.rows.saturating_sub(1) * self.stride;
            assert!(last + self.panel.column + self.panel.valid <= self.result.len());
        }
        if depth > 0 {
            assert!((depth - 1) * self.pitch + self.panel.width <= self.panel.values.len());
        }
        assert!(self.panel.valid <= self.panel.width);
        if let Start::Bias(bias) = self.start {
            assert!(self.panel.column + self.panel.width <= bias.len());
        }
    }

    /// All groups, as many at a time as fill the registers: three of sixteen lanes leave the twelve row
    /// addresses in registers too, and still have enough independent sums to hide the latency.
    #[inline(always)]
    fn blocks<S: Simd>(&self, s: S) {
        match (S::LANES, self.panel.width) {
            (16, 32) => self.strips::<S, 3, 2>(s),
            (16, _) => self.strips::<S, 4, 1>(s),
            _ => self.strips::<S, 1, 2>(s),
        }
    }

    #[inline(always)]
    fn strips<S: Simd, const G: usize, const NV: usize>(&self, s: S) {
        let wide = NV * S::LANES;
        for offset in (0..self.panel.width).step_by(wide) {
            let mut groups = self.groups;
            while let Some((block, rest)) = groups.split_first_chunk::<G>() {
                self.tile::<S, G, NV>(s, block, offset);
                groups = rest;
            }
            if let Some((block, rest)) = groups.split_first_chunk::<2>() {
                self.tile::<S, 2, NV>(s, block, offset);
                groups = rest;
            }
            if let Some((block, _)) = groups.split_first_chunk::<1>() {
                self.tile::<S, 1, NV>(s, block, offset);
            }
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const G: usize, const NV: usize>(&self, s: S, groups: &[Group; G], offset: usize) {
        let mut first = [s.splat(0.0); NV];
        if let Start::Bias(bias) = self.start {
            for (v, first) in first.iter_mut().enumerate() {
                // SAFETY: `check` saw that the bias covers the panel's width.
                *first = unsafe { s.load(bias.as_ptr().add(self.panel.column + offset + v * S::LANES)) };
            }
        }
        let mut tile: Tile<S::V, G, NV> = [[first; GROUP]; G];
        let valid = self.panel.valid.saturating_sub(offset).min(NV * S::LANES);
        if matches!(self.start, Start::Continue) {
            for (group, rows) in groups.iter().zip(&mut tile) {
                for (r, row) in rows.iter_mut().enumerate().take(group.rows) {
                    self.load(s, self.index(group, r, offset), row, valid);
                }
            }
        }
        // SAFETY: `check` saw that every group starts within the left-hand side.
        let a = groups.map(|group| unsafe { self.left.as_ptr().add(group.from) });
        // SAFETY: `offset` is within the panel's width.
        let b = unsafe { self.panel.values.as_ptr().add(offset) };
        // SAFETY: `check` saw that the groups' reach and the panel's rows are within their slices.
        unsafe { tile::accumulate(s, a, &self.walk, b, self.pitch, &mut tile) };
        for (group, rows) in groups.iter().zip(&tile) {
            for (r, row) in rows.iter().enumerate().take(group.rows) {
                self.store(s, self.index(group, r, offset), row, valid);
            }
        }
    }

    /// Where row `r` of a group has its value of the panel's column `offset`.
    #[inline(always)]
    fn index(&self, group: &Group, r: usize, offset: usize) -> usize {
        group.to * self.unit + r * self.stride + self.panel.column + offset
    }

    /// Reads one row of a tile.
    #[inline(always)]
    fn load<S: Simd, const NV: usize>(&self, s: S, index: usize, row: &mut [S::V; NV], valid: usize) {
        for (v, value) in row.iter_mut().enumerate() {
            let count = valid.saturating_sub(v * S::LANES).min(S::LANES);
            if count == 0 {
                return;
            }
            // SAFETY: as in `store`, and an earlier part of the sum has written these values.
            *value = unsafe {
                let from = self.result.at(index + v * S::LANES);
                if count == S::LANES { s.load(from) } else { s.load_partial(from, count) }
            };
        }
    }

    /// Writes one row of a tile.
    #[inline(always)]
    fn store<S: Simd, const NV: usize>(&self, s: S, index: usize, row: &[S::V; NV], valid: usize) {
        let add = matches!(self.start, Start::Add);
        for (v, &value) in row.iter().enumerate() {
            let count = valid.saturating_sub(v * S::LANES).min(S::LANES);
            if count == 0 {
                return;
            }
            // SAFETY: `check` saw that the rows and columns exist in the result; whoever made the
            // product vouches that they are no other task's (`MatrixProduct::run` says so).
            unsafe {
                let to = self.result.at(index + v * S::LANES);
                if count == S::LANES {
                    s.store(to, if add { s.add(s.load(to), value) } else { value });
                } else if add {
                    s.store_partial(to, s.add(s.load_partial(to, count), value), count);
                } else {
                    s.store_partial(to, value, count);
                }
            }
        }
    }
}

impl Work for MatrixProduct<'_> {
    type Output = ();

    /// The rows of every group in the result and the valid columns of the panel must be
    /// written by no other task meanwhile.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.check();
        self.blocks(s);
    }
}

/// Bias values up to the padded number of columns.
pub(crate) fn pad_bias(bias: &[f32]) -> Vec<f32> {
    let mut padded = bias.to_vec();
    padded.resize(super::pack::padded(bias.len()), 0.0);
    padded
}
