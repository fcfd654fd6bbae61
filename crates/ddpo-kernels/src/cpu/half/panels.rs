//! The right-hand side of a product in bf16, in the order the units read it.

use std::ops::Range;

use super::{DEPTH, PANEL, SIDE, TILE, widened::widen};
use crate::cpu::{
    memory::{self, Aligned},
    pack::Panels,
};

/// A matrix `[K, N]` of bf16 cut into panels of 32 columns, and these, down `K`, into pairs of tiles of 32 rows and 16 columns. A
/// tile holds pairs of rows: the first and the second value of column 0, of column 1 and so on. What reaches past the matrix is zero.
#[derive(Clone, Debug)]
pub(crate) struct HalfPanels {
    values: Aligned,
    rows: usize,
    columns: usize,
}

/// Where row `k` and column `column` of a panel are.
#[inline(always)]
pub(in crate::cpu) fn place(k: usize, column: usize) -> usize {
    (k / DEPTH * 2 + column / SIDE) * TILE + k % DEPTH / 2 * DEPTH + column % SIDE * 2 + k % 2
}

impl HalfPanels {
    /// Packs a row-major matrix, given as bits.
    pub(crate) fn pack(matrix: &[u16], rows: usize, columns: usize) -> Self {
        assert_eq!(matrix.len(), rows * columns, "half: values of the matrix");
        Self::build(rows, columns, |range, panel| {
            for (pair, rows) in matrix.chunks(2 * columns.max(1)).enumerate() {
                let (first, second) = rows.split_at(columns);
                for (column, index) in range.clone().enumerate() {
                    let at = place(2 * pair, column);
                    panel[at] = first[index];
                    panel[at + 1] = second.get(index).copied().unwrap_or(0);
                }
            }
        })
    }

    /// A matrix `[positions, in, out]`, of which this is the packed form, as `[taps, out, in]`, for the positions `taps` of the
    /// kernel in that order. With one position this is the transpose.
    pub(crate) fn adjoint(&self, taps: &[usize], inputs: usize) -> Self {
        let outputs = self.columns;
        // Where pairs stay pairs, two rows of two columns are next to each other on either side.
        let step = if inputs.is_multiple_of(2) && outputs.is_multiple_of(2) { 2 } else { 1 };
        Self::build(taps.len() * outputs, inputs, |range, panel| {
            for (index, tap) in taps.iter().enumerate() {
                for (block, from) in (0..outputs).step_by(SIDE).zip(self.halves()) {
                    let width = SIDE.min(outputs - block);
                    for (column, input) in range.clone().enumerate().step_by(step) {
                        let row = &from[place(tap * inputs + input, 0)..];
                        for j in (0..width).step_by(step) {
                            let to = &mut panel[place(index * outputs + block + j, column)..];
                            if step == 2 {
                                to[..4].copy_from_slice(&[row[2 * j], row[2 * j + 2], row[2 * j + 1], row[2 * j + 3]]);
                            } else {
                                to[0] = row[2 * j];
                            }
                        }
                    }
                }
            }
        })
    }

    /// The values from each sixteenth column on.
    fn halves(&self) -> impl Iterator<Item = &[u16]> {
        (0..self.count()).flat_map(|index| {
            let panel = self.panel(index);
            [panel, panel.get(TILE..).unwrap_or_default()]
        })
    }

    /// The bits of the matrix in row-major order.
    pub(crate) fn unpack(&self) -> Vec<u16> {
        let mut matrix = Vec::with_capacity(self.rows * self.columns);
        for k in 0..self.rows {
            for column in 0..self.columns {
                matrix.push(self.panel(column / PANEL)[place(k, column % PANEL)]);
            }
        }
        matrix
    }

    /// The same matrix in `f32`.
    pub(crate) fn widen(&self) -> Panels {
        Panels::build(self.rows, self.columns, |column, width, valid, panel| {
            let from = self.panel(column / PANEL);
            for (k, row) in panel.chunks_exact_mut(width).enumerate() {
                for (column, to) in row[..valid].iter_mut().enumerate() {
                    *to = widen(from[place(k, column)]);
                }
            }
        })
    }

    fn build(rows: usize, columns: usize, fill: impl Fn(Range<usize>, &mut [u16]) + Sync + Send) -> Self {
        let size = rows.div_ceil(DEPTH) * 2 * TILE;
        let count = columns.div_ceil(PANEL);
        let mut values = Aligned::zeros((count * size).div_ceil(2));
        memory::for_each_part(values.halves_mut(), size, rows * columns * 8, |index, panel| {
            fill(index * PANEL..columns.min((index + 1) * PANEL), panel);
        });
        Self { values, rows, columns }
    }

    /// Rows of the matrix.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of the matrix.
    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Tiles down a panel.
    pub(super) fn depth(&self) -> usize {
        self.rows.div_ceil(DEPTH)
    }

    /// The number of panels.
    pub(super) fn count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// Panel `index`: pairs of tiles.
    pub(super) fn panel(&self, index: usize) -> &[u16] {
        let size = self.depth() * 2 * TILE;
        &self.values.halves()[index * size..(index + 1) * size]
    }
}
