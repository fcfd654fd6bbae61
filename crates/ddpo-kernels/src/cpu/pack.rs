//! The right-hand side of a product, in the order the tile kernel reads it.

use std::ops::Range;

use super::memory::{self, Aligned, Shared};

/// Columns of a panel.
pub(crate) const PANEL: usize = 32;
/// Columns of the last panel where no more are needed.
pub(crate) const HALF: usize = 16;

/// A matrix `[K, N]` cut into panels of 32 columns, each row-major; the last one is 16 wide if that
/// holds the remaining columns, and padded with zeros.
#[derive(Clone, Debug)]
pub(crate) struct Panels {
    values: Aligned,
    rows: usize,
    columns: usize,
}

/// One panel of a matrix.
#[derive(Clone, Copy)]
pub(crate) struct Panel<'a> {
    /// Rows of `width` values.
    pub values: &'a [f32],
    /// 32 or 16, if the matrix is packed.
    pub width: usize,
    /// The matrix column of the first value.
    pub column: usize,
    /// How many columns belong to the matrix.
    pub valid: usize,
}

impl<'a> Panel<'a> {
    /// A row-major matrix as a single panel of its own width.
    pub(crate) fn whole(matrix: &'a [f32], columns: usize) -> Self {
        Self { values: matrix, width: columns, column: 0, valid: columns }
    }

    /// The rows `range` alone.
    pub(super) fn part(self, range: Range<usize>) -> Self {
        Self { values: &self.values[range.start * self.width..range.end * self.width], ..self }
    }

    /// The rows `range` alone, as a panel of a matrix that has no other columns.
    pub(super) fn alone(self, range: Range<usize>) -> Self {
        Self { column: 0, ..self.part(range) }
    }
}

impl Panels {
    /// Packs a row-major matrix.
    pub(crate) fn pack(matrix: &[f32], rows: usize, columns: usize) -> Self {
        Self::build(rows, columns, |column, width, valid, panel| {
            for (to, from) in panel.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
                to[..valid].copy_from_slice(&from[column..column + valid]);
            }
        })
    }

    /// Packs a matrix `[positions, in, out]`, given in `blocks` of columns, as `[taps, out, in]`, for
    /// the positions `taps` of the kernel in that order. With one position this is the transpose.
    pub(crate) fn pack_adjoint(blocks: &[Panel<'_>], taps: &[usize], inputs: usize, outputs: usize) -> Self {
        Self::build(taps.len() * outputs, inputs, |column, width, valid, panel| {
            for (tap, to) in taps.iter().zip(panel.chunks_exact_mut((outputs * width).max(1))) {
                for block in blocks {
                    let from = &block.values[(tap * inputs + column) * block.width..];
                    transpose(from, block.width, [valid, block.valid], &mut to[block.column * width..], width);
                }
            }
        })
    }

    /// Another matrix of as many columns, made panel by panel: `fill` is given a panel of this one and the one to write.
    pub(super) fn derive(&self, rows: usize, fill: impl Fn(Panel<'_>, &mut [f32]) + Sync + Send) -> Self {
        Self::build(rows, self.columns, |column, _, _, to| fill(self.panel(column / PANEL), to))
    }

    /// The matrix in row-major order.
    pub(crate) fn unpack(&self) -> Vec<f32> {
        let blocks = self.blocks();
        let mut matrix = vec![0.0; self.rows * self.columns];
        let shared = Shared::new(&mut matrix);
        // Rows are the tasks, so that each writes a part of its own.
        memory::for_each(self.rows, self.rows * self.columns * 8, |row| {
            // SAFETY: rows are disjoint ranges of the matrix, which outlives the loop.
            let to = unsafe { shared.slice(row * self.columns..(row + 1) * self.columns) };
            for Panel { values, width, column, valid } in &blocks {
                to[*column..column + valid].copy_from_slice(&values[row * width..][..*valid]);
            }
        });
        matrix
    }

    /// All panels.
    pub(crate) fn blocks(&self) -> Vec<Panel<'_>> {
        (0..self.count()).map(|index| self.panel(index)).collect()
    }

    /// A matrix whose panels `fill` writes: it is given the first column, the width and the columns in use of one, and its rows.
    pub(super) fn build(
        rows: usize,
        columns: usize,
        fill: impl Fn(usize, usize, usize, &mut [f32]) + Sync + Send,
    ) -> Self {
        let count = columns.div_ceil(PANEL);
        let mut values = Aligned::zeros(padded(columns) * rows);
        let shared = Shared::new(values.values_mut());
        // Copying a value costs about as much time as eight operations of a product.
        memory::for_each(count, rows * columns * 8, |index| {
            let (column, width, valid) = geometry(columns, index);
            // SAFETY: panels are disjoint ranges of the buffer, which outlives the loop.
            let panel = unsafe { shared.slice(column * rows..(column + width) * rows) };
            fill(column, width, valid, panel);
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

    /// The number of panels.
    pub(crate) fn count(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// Panel `index`.
    pub(crate) fn panel(&self, index: usize) -> Panel<'_> {
        let (column, width, valid) = geometry(self.columns, index);
        let values = &self.values.values()[column * self.rows..(column + width) * self.rows];
        Panel { values, width, column, valid }
    }
}
/// Columns of all panels together.
pub(crate) fn padded(columns: usize) -> usize {
    columns.next_multiple_of(HALF)
}

/// First column, width and columns in use of panel `index`.
pub(super) fn geometry(columns: usize, index: usize) -> (usize, usize, usize) {
    let column = index * PANEL;
    let valid = (columns - column).min(PANEL);
    (column, if valid <= HALF { HALF } else { PANEL }, valid)
}

/// `to[j][i] = from[i][j]` for `i < rows` and `j < columns`, rows of `from` being `pitch` apart and of `to` `width`.
pub(super) fn transpose(from: &[f32], pitch: usize, [rows, columns]: [usize; 2], to: &mut [f32], width: usize) {
    const BLOCK: usize = 16;
    for start in (0..columns).step_by(BLOCK) {
        let end = (start + BLOCK).min(columns);
        for i in 0..rows {
            let row = &from[i * pitch + start..i * pitch + end];
            for (j, &value) in row.iter().enumerate() {
                to[(start + j) * width + i] = value;
            }
        }
    }
}
