//! A gated unit right behind its product, so that only one of three values goes through memory.

use super::{
    linear::{block, each_block},
    memory::{self, Shared, with_scratch},
    pack::{PANEL, Panels},
    pointwise::gelu,
    product::{MatrixProduct, Start},
    tile::{GROUP, Walk},
};
use crate::simd::{Level, Several, Simd, Work};

/// Whether the halves of a matrix with so many columns are whole panels.
pub(crate) fn fits(columns: usize) -> bool {
    columns > 0 && columns.is_multiple_of(2 * PANEL)
}

/// `a · gelu(b)` for `[a, b] = x [rows, K] · matrix [K, 2 N] + bias`, bit by bit what the two operations give; `2 N` must
/// [fit](fits).
pub(crate) fn multiply(level: Level, x: &[f32], rows: usize, matrix: &Panels, bias: Option<&[f32]>) -> Vec<f32> {
    let (k, n) = (matrix.rows(), matrix.columns() / 2);
    assert_eq!(x.len(), rows * k, "linear: values of x");
    assert!(fits(2 * n) && bias.is_none_or(|bias| bias.len() == 2 * n));
    let pairs = n / PANEL;
    // SAFETY: the tasks together write every row and column.
    unsafe {
        memory::filled(rows * n, |result| {
            each_block(rows, (k, 2 * n), pairs, |range, pairs_of_task, depth| {
                block(&x[range.start * k..range.end * k], range.len(), k, |left, groups| {
                    let size = range.len().next_multiple_of(GROUP) * PANEL;
                    with_scratch(2 * size, |sums| {
                        for pair in pairs_of_task.clone() {
                            for (index, sums) in [pair, pair + pairs].into_iter().zip(sums.chunks_exact_mut(size)) {
                                let panel = matrix.panel(index);
                                let start = bias.map_or(Start::Zero, |bias| Start::Bias(&bias[panel.column..]));
                                for part in 0..k.div_ceil(depth).max(1) {
                                    let rows = part * depth..((part + 1) * depth).min(k);
                                    level.run(MatrixProduct {
                                        left: &left[rows.start..],
                                        walk: Walk::rows(rows.len(), k),
                                        groups,
                                        panel: panel.alone(rows),
                                        pitch: PANEL,
                                        start: start.of_part(part),
                                        result: Shared::new(sums),
                                        unit: PANEL,
                                        stride: PANEL,
                                    });
                                }
                            }
                            let (a, b) = sums.split_at(size);
                            let to = result.offset(range.start * n + pair * PANEL);
                            level.run(Gate { a, b, rows: range.len(), to, stride: n });
                        }
                    });
                });
            });
        })
    }
}

/// `a · gelu(b)` for rows of a panel, which go to places `stride` apart.
pub(super) struct Gate<'a> {
    pub a: &'a [f32],
    pub b: &'a [f32],
    pub rows: usize,
    pub to: Shared,
    pub stride: usize,
}

impl Work for Gate<'_> {
    type Output = ();

    /// The places must be no other task's.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.rows * PANEL <= self.a.len().min(self.b.len()));
        assert!(self.rows == 0 || (self.rows - 1) * self.stride + PANEL <= self.to.len());
        for row in 0..self.rows {
            if PANEL == 2 * S::LANES {
                // SAFETY: the row's values and its place were seen to be there.
                unsafe { self.part(Several::<S, 2>(s), row, 0) };
                continue;
            }
            for start in (0..PANEL).step_by(S::LANES) {
                // SAFETY: as above; the vectors of a panel are whole.
                unsafe { self.part(s, row, start) };
            }
        }
    }
}

impl Gate<'_> {
    /// A vector of a row.
    ///
    /// # Safety
    ///
    /// The row and its place must be there, and the vector within a panel.
    #[inline(always)]
    unsafe fn part<S: Simd>(&self, s: S, row: usize, start: usize) {
        // SAFETY: the caller vouches for the values and the place.
        unsafe {
            let (a, b) =
                (s.load(self.a.as_ptr().add(row * PANEL + start)), s.load(self.b.as_ptr().add(row * PANEL + start)));
            s.store(self.to.at(row * self.stride + start), s.mul(a, gelu(s, b)));
        }
    }
}
