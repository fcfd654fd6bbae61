//! Normalisation of rows.

use super::{
    memory::{self, Shared},
    pointwise::{load, store},
};
use crate::simd::{Level, Simd, Work};

/// Rows a task takes; the gradients of `gamma` and `beta` are summed in this unit.
const ROWS: usize = 32;

/// `(x - mean) / sqrt(var + epsilon) · gamma + beta` for rows `x [rows, width]`.
pub(crate) fn forward(level: Level, x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32) -> Vec<f32> {
    let width = gamma.len();
    let rows = x.len() / width.max(1);
    // SAFETY: the tasks cover every row.
    unsafe {
        memory::filled(x.len(), |y| {
            memory::for_each(rows.div_ceil(ROWS), x.len() * 16, |index| {
                let range = index * ROWS * width..x.len().min((index + 1) * ROWS * width);
                let y = y.offset(range.start);
                level.run(Forward { x: &x[range], gamma, beta, epsilon, y });
            });
        })
    }
}

struct Forward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    epsilon: f32,
    y: Shared,
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.gamma.len();
        for (row, x) in self.x.chunks_exact(width.max(1)).enumerate() {
            let (mean, inverse) = moments(s, x, self.epsilon);
            let (mean, inverse) = (s.splat(mean), s.splat(inverse));
            for at in (0..width).step_by(S::LANES) {
                let count = (width - at).min(S::LANES);
                // SAFETY: `count` values from `at` on are within a row, and within the task's rows.
                unsafe {
                    let normal = s.mul(s.sub(load(s, x, at, count), mean), inverse);
                    let (gamma, beta) = (load(s, self.gamma, at, count), load(s, self.beta, at, count));
                    store(s, self.y.at(row * width + at), s.fma(normal, gamma, beta), count);
                }
            }
        }
    }
}

/// The mean and the inverse standard deviation of a row.
#[inline(always)]
fn moments<S: Simd>(s: S, x: &[f32], epsilon: f32) -> (f32, f32) {
    let mut total = s.splat(0.0);
    let mut square = s.splat(0.0);
    let width = x.len();
    for at in (0..width).step_by(S::LANES) {
        let count = (width - at).min(S::LANES);
        // SAFETY: `count` values from `at` on are within the row.
        total = s.add(total, unsafe { load(s, x, at, count) });
    }
    let mean = s.sum(total) / width as f32;
    for at in (0..width).step_by(S::LANES) {
        let count = (width - at).min(S::LANES);
        // SAFETY: `count` values from `at` on are within the row.
        let d = s.sub(unsafe { load(s, x, at, count) }, s.splat(mean));
        let d = s.first(d, count);
        square = s.fma(d, d, square);
    }
    (mean, 1.0 / (s.sum(square) / width as f32 + epsilon).sqrt())
}

/// The gradients of `x`, `gamma` and `beta`.
pub(crate) fn backward(level: Level, x: &[f32], gamma: &[f32], g: &[f32], epsilon: f32) -> [Vec<f32>; 3] {
    assert_eq!(x.len(), g.len(), "layer_norm: values of the gradient");
    let width = gamma.len();
    let rows = x.len() / width.max(1);
    let chunks = rows.div_ceil(ROWS);
    let mut partial = vec![0.0; chunks * 2 * width];
    let shared = Shared::new(&mut partial);
    // SAFETY: the tasks cover every row.
    let dx = unsafe {
        memory::filled(x.len(), |dx| {
            memory::for_each(chunks, x.len() * 24, |index| {
                let range = index * ROWS * width..x.len().min((index + 1) * ROWS * width);
                // Each task has its own part of the partial sums.
                let sums = shared.slice(index * 2 * width..(index + 1) * 2 * width);
                let dx = dx.offset(range.start);
                let (x, g) = (&x[range.clone()], &g[range]);
                level.run(Backward { x, gamma, g, epsilon, dx, sums });
            });
        })
    };
    let total = |offset: usize| -> Vec<f32> {
        let chunks = partial.chunks_exact(2 * width.max(1));
        let add = |c: usize| chunks.clone().map(|s| f64::from(s[offset + c])).sum::<f64>() as f32;
        (0..width).map(add).collect()
    };
    [dx, total(0), total(width)]
}

struct Backward<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    g: &'a [f32],
    epsilon: f32,
    dx: Shared,
    /// Zeros at first; the gradients of `gamma`, then those of `beta`.
    sums: &'a mut [f32],
}

impl Work for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.gamma.len();
        let (to_gamma, to_beta) = self.sums.split_at_mut(width);
        let rows = self.x.chunks_exact(width.max(1)).zip(self.g.chunks_exact(width.max(1)));
        for (row, (x, g)) in rows.enumerate() {
            let (mean, inverse) = moments(s, x, self.epsilon);
            let (mean, inverse) = (s.splat(mean), s.splat(inverse));
            let (mut plain, mut scaled) = (s.splat(0.0), s.splat(0.0));
            for at in (0..width).step_by(S::LANES) {
                let count = (width - at).min(S::LANES);
                // SAFETY: `count` values from `at` on are within a row and within the sums.
                unsafe {
                    let normal = s.mul(s.sub(load(s, x, at, count), mean), inverse);
                    let g = load(s, g, at, count);
                    let gamma = s.mul(g, load(s, self.gamma, at, count));
                    plain = s.add(plain, gamma);
                    scaled = s.fma(gamma, normal, scaled);
                    let sum = s.fma(g, normal, load(s, to_gamma, at, count));
                    store(s, to_gamma.as_mut_ptr().add(at), sum, count);
                    let sum = s.add(g, load(s, to_beta, at, count));
                    store(s, to_beta.as_mut_ptr().add(at), sum, count);
                }
            }
            let constant = s.splat(s.sum(plain) / width as f32);
            let slope = s.splat(s.sum(scaled) / width as f32);
            for at in (0..width).step_by(S::LANES) {
                let count = (width - at).min(S::LANES);
                // SAFETY: `count` values from `at` on are within a row, and within the task's rows.
                unsafe {
                    let normal = s.mul(s.sub(load(s, x, at, count), mean), inverse);
                    let g = s.mul(load(s, g, at, count), load(s, self.gamma, at, count));
                    let dx = s.mul(s.sub(g, s.fma(normal, slope, constant)), inverse);
                    store(s, self.dx.at(row * width + at), dx, count);
                }
            }
        }
    }
}
