//! Rows times a matrix, and the gradient of the matrix.

use std::ops::Range;

use super::{
    memory::{self, DEPTH, HEAVY, NEAR, Shared, with_scratch},
    pack::{PANEL, Panel, Panels, padded, transpose},
    pointwise::{load, store},
    product::{Group, MatrixProduct, Start, pad_bias},
    tile::{GROUP, Walk},
};
use crate::simd::{Level, Simd, Work};

/// `x [rows, K] · matrix [K, N] + bias`.
pub(crate) fn multiply(level: Level, x: &[f32], rows: usize, matrix: &Panels, bias: Option<&[f32]>) -> Vec<f32> {
    let (k, n) = (matrix.rows(), matrix.columns());
    assert_eq!(x.len(), rows * k, "linear: values of x");
    let bias = bias.map(pad_bias);
    let start = bias.as_deref().map_or(Start::Zero, Start::Bias);
    // SAFETY: the tasks together write every row and column.
    unsafe {
        memory::filled(rows * n, |result| {
            each_block(rows, (k, n), matrix.count(), |range, panels, depth| {
                let x = &x[range.start * k..range.end * k];
                block(x, range.len(), k, |left, groups| {
                    for part in 0..k.div_ceil(depth).max(1) {
                        let first = part * depth;
                        let part_of_k = first..(first + depth).min(k);
                        for index in panels.clone() {
                            let panel = matrix.panel(index);
                            level.run(MatrixProduct {
                                left: &left[first..],
                                walk: Walk::rows(part_of_k.len(), k),
                                groups,
                                panel: panel.part(part_of_k.clone()),
                                pitch: panel.width,
                                start: start.of_part(part),
                                result: result.offset(range.start * n),
                                unit: n,
                                stride: n,
                            });
                        }
                    }
                });
            });
        })
    }
}

/// Cuts rows and panels into tasks, which get some of each and how much of `K` to go down at a time: rows first, panels where
/// there are few rows or the matrix is heavy.
pub(super) fn each_block(
    rows: usize,
    (k, n): (usize, usize),
    panels: usize,
    task: impl Fn(Range<usize>, Range<usize>, usize) + Sync + Send,
) {
    const ROWS: usize = 24;
    let wanted = memory::tasks();
    let most = rows.div_ceil(ROWS).max(1);
    let (down, depth) = if k * n > HEAVY {
        let fit = (rows * k.min(DEPTH)).div_ceil(NEAR);
        (fit.max(wanted.div_ceil(panels.max(1))).min(most), DEPTH)
    } else {
        (most.min(wanted), k.max(1))
    };
    let across = wanted.div_ceil(down).clamp(1, panels.max(1));
    memory::for_each(down * across, rows * k * n * 2, |index| {
        let rows = memory::part(rows, ROWS, down, index / across);
        if !rows.is_empty() {
            task(rows, memory::part(panels, 1, across, index % across), depth);
        }
    });
}

/// Makes groups of four rows; a last group with fewer is copied to where four can be read.
pub(super) fn block(x: &[f32], rows: usize, k: usize, body: impl FnOnce(&[f32], &[Group])) {
    let groups: Vec<Group> = Group::rows(0, 0, rows, k, 1).collect();
    if rows.is_multiple_of(GROUP) {
        body(x, &groups);
    } else {
        with_scratch(rows.next_multiple_of(GROUP) * k, |copy| {
            copy[..x.len()].copy_from_slice(x);
            copy[x.len()..].fill(0.0);
            body(copy, &groups);
        });
    }
}

/// Rows summed in registers before they are added to the gradient of a matrix.
const CHUNK: usize = 512;

/// `xᵀ · g`: the gradient `[K, N]` of the matrix, for `x [rows, K]` and `g [rows, N]`.
///
/// Every task owns some columns of both, and takes the rows in chunks of a fixed size, in order.
pub(crate) fn matrix_gradient(level: Level, x: &[f32], g: &[f32], k: usize, n: usize) -> Vec<f32> {
    let rows = x.len().checked_div(k).unwrap_or(0);
    assert_eq!(g.len(), rows * n, "linear: values of the gradient");
    if k > THIN && (1..=THIN).contains(&n) {
        // As the transpose no column of a tile is padding, and the sums are the same to the bit.
        let mut result = vec![0.0; k * n];
        transpose(&matrix_gradient(level, g, x, n, k), k, [n, k], &mut result, n);
        return result;
    }
    let mut result = vec![0.0; k * n];
    let shared = Shared::new(&mut result);
    let panels = n.div_ceil(PANEL);
    // Copies are shared by the panels and columns of a task, so neither may be few.
    let across = (panels / 4).clamp(1, memory::tasks());
    let down = (memory::tasks() / across).clamp(1, k.div_ceil(48).max(1));
    memory::for_each(across * down, rows * k * n * 2, |index| {
        let columns = memory::part(k, 3 * GROUP, down, index / across);
        let panels = memory::part(panels, 1, across, index % across);
        for start in (0..rows).step_by(CHUNK) {
            let end = (start + CHUNK).min(rows);
            let (x, g) = (&x[start * k..end * k], &g[start * n..end * n]);
            outer(level, x, g, (k, n), columns.clone(), panels.clone(), shared);
        }
    });
    result
}

/// Columns of one tile, which reads the other matrix once. The factors of an adapter have no more.
const THIN: usize = 3 * GROUP;

/// Adds some columns of `x` times some panels of `g` to the result.
fn outer(
    level: Level,
    x: &[f32],
    g: &[f32],
    (k, n): (usize, usize),
    columns: Range<usize>,
    panels: Range<usize>,
    result: Shared,
) {
    let (rows, count) = (x.len() / k, columns.len());
    let width = count.next_multiple_of(GROUP);
    let walk = Walk { row: 1, step: width, length: rows, segments: 1, jump: 0, planes: 1, lift: 0 };
    let groups: Vec<Group> = Group::rows(0, columns.start, count, 1, 1).collect();
    // A copy, because rows a power of two apart would share a few sets of the cache.
    with_scratch(rows * width, |left| {
        for (to, from) in left.chunks_exact_mut(width.max(1)).zip(x.chunks_exact(k)) {
            to[..count].copy_from_slice(&from[columns.clone()]);
            to[count..].fill(0.0);
        }
        for index in panels {
            with_panel(g, n, index, count <= THIN, |panel, pitch| {
                let (left, groups, start, stride) = (&*left, &groups[..], Start::Add, n);
                level.run(MatrixProduct { left, walk, groups, panel, pitch, start, result, unit: stride, stride });
            });
        }
    });
}

/// Panel `index` of a row-major matrix: in place if the matrix is no wider, or whole and read once, else copied, because
/// rows a power of two apart would share a few sets of the cache.
pub(crate) fn with_panel(
    matrix: &[f32],
    columns: usize,
    index: usize,
    once: bool,
    body: impl FnOnce(Panel<'_>, usize),
) {
    let column = index * PANEL;
    let valid = (columns - column).min(PANEL);
    let width = padded(valid);
    if width == columns || (once && width == valid) {
        return body(Panel { values: &matrix[column..], width, column, valid }, columns);
    }
    let rows = matrix.len() / columns;
    with_scratch(rows * width, |copy| {
        for (to, from) in copy.chunks_exact_mut(width).zip(matrix.chunks_exact(columns)) {
            to[..valid].copy_from_slice(&from[column..column + valid]);
            to[valid..].fill(0.0);
        }
        body(Panel { values: copy, width, column, valid }, width);
    });
}

/// The sum of the rows of `g [rows, n]`, in chunks of a fixed size: the gradient of a bias.
pub(crate) fn row_sum(level: Level, g: &[f32], n: usize) -> Vec<f32> {
    if n == 0 {
        return Vec::new();
    }
    let chunks = g.len().div_ceil(CHUNK * n);
    let mut partial = vec![0.0_f32; chunks * n];
    let shared = Shared::new(&mut partial);
    memory::for_each(chunks, g.len() * 8, |index| {
        let part = &g[index * CHUNK * n..g.len().min((index + 1) * CHUNK * n)];
        // SAFETY: each task has its own row of the partial sums.
        let sum = unsafe { shared.slice(index * n..(index + 1) * n) };
        level.run(RowSum { part, sum });
    });
    let mut total = vec![0.0_f32; n];
    for row in partial.chunks_exact(n) {
        for (total, value) in total.iter_mut().zip(row) {
            *total += value;
        }
    }
    total
}

/// Adds the rows of `part` to `sum`.
struct RowSum<'a> {
    part: &'a [f32],
    sum: &'a mut [f32],
}

impl Work for RowSum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for row in self.part.chunks_exact(self.sum.len()) {
            for at in (0..row.len()).step_by(S::LANES) {
                let count = (row.len() - at).min(S::LANES);
                // SAFETY: `count` values from `at` on are within the row and the sums, which are as many.
                unsafe {
                    let sum = s.add(load(s, self.sum, at, count), load(s, row, at, count));
                    store(s, self.sum.as_mut_ptr().add(at), sum, count);
                }
            }
        }
    }
}
