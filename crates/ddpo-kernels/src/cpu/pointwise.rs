//! Functions of one value, and their slopes.

use super::memory::{self, Shared};
use crate::simd::{self, Level, Several, Simd, Work};

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    Silu,
    Gelu,
    QuickGelu,
}

/// Values a task takes.
const CHUNK: usize = 1 << 14;
/// Vectors taken together where a function is long.
const APART: usize = 4;
/// `1 / sqrt(2π)`.
const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
/// What a value costs, in floating-point operations, to decide whether to wake other threads.
pub(super) const COST: usize = 24;

/// `f(x)`.
pub(crate) fn map(level: Level, function: Function, x: &[f32]) -> Vec<f32> {
    // SAFETY: the chunks cover every value.
    unsafe {
        memory::filled(x.len(), |y| {
            memory::for_each(x.len().div_ceil(CHUNK), x.len() * COST, |index| {
                let range = index * CHUNK..x.len().min((index + 1) * CHUNK);
                level.run(Map { function, x: &x[range.clone()], g: None, y: y.offset(range.start) });
            });
        })
    }
}

/// `g · f'(x)`.
pub(crate) fn map_gradient(level: Level, function: Function, x: &[f32], g: &[f32]) -> Vec<f32> {
    assert_eq!(x.len(), g.len(), "values of the gradient");
    // SAFETY: the chunks cover every value.
    unsafe {
        memory::filled(x.len(), |y| {
            memory::for_each(x.len().div_ceil(CHUNK), x.len() * COST, |index| {
                let range = index * CHUNK..x.len().min((index + 1) * CHUNK);
                let (x, g) = (&x[range.clone()], Some(&g[range.clone()]));
                level.run(Map { function, x, g, y: y.offset(range.start) });
            });
        })
    }
}

struct Map<'a> {
    function: Function,
    x: &'a [f32],
    g: Option<&'a [f32]>,
    y: Shared,
}

impl Work for Map<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.function {
            Function::Silu => self.each(s, silu, silu_slope),
            Function::Gelu => self.each(s, gelu, gelu_slope),
            Function::QuickGelu => self.each(s, quick_gelu, quick_gelu_slope),
        }
    }
}

impl Map<'_> {
    #[inline(always)]
    fn each<S: Simd>(&self, s: S, value: impl Fn(S, S::V) -> S::V, slope: impl Fn(S, S::V) -> S::V) {
        for start in (0..self.x.len()).step_by(S::LANES) {
            let count = (self.x.len() - start).min(S::LANES);
            // SAFETY: `count` values from `start` on are within `x`, within `g`, which is as long,
            // and within the task's part of `y`.
            unsafe {
                let x = load(s, self.x, start, count);
                let y = match self.g {
                    Some(g) => s.mul(load(s, g, start, count), slope(s, x)),
                    None => value(s, x),
                };
                store(s, self.y.at(start), y, count);
            }
        }
    }
}

/// Reads `count` values from `start` on, then zeros.
///
/// # Safety
///
/// They must be within the slice, and at most a vector.
#[inline(always)]
pub(super) unsafe fn load<S: Simd>(s: S, x: &[f32], start: usize, count: usize) -> S::V {
    debug_assert!(start + count <= x.len());
    // SAFETY: the caller vouches for the range.
    unsafe {
        let from = x.as_ptr().add(start);
        if count == S::LANES { s.load(from) } else { s.load_partial(from, count) }
    }
}

/// Writes the first `count` lanes.
///
/// # Safety
///
/// `to` must be valid for writing them, and they at most a vector.
#[inline(always)]
pub(super) unsafe fn store<S: Simd>(s: S, to: *mut f32, value: S::V, count: usize) {
    // SAFETY: the caller vouches for the memory.
    unsafe {
        if count == S::LANES {
            s.store(to, value);
        } else {
            s.store_partial(to, value, count);
        }
    }
}

/// `x σ(x)`.
#[inline(always)]
pub(super) fn silu<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, simd::sigmoid(s, x))
}

/// `σ(x) (1 + x (1 - σ(x)))`.
#[inline(always)]
pub(super) fn silu_slope<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let gate = simd::sigmoid(s, x);
    s.mul(gate, s.fma(x, s.sub(one, gate), one))
}

/// `x σ(1.702 x)`.
#[inline(always)]
fn quick_gelu<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, simd::sigmoid(s, s.mul(x, s.splat(1.702))))
}

#[inline(always)]
fn quick_gelu_slope<S: Simd>(s: S, x: S::V) -> S::V {
    let scaled = s.mul(x, s.splat(1.702));
    let gate = simd::sigmoid(s, scaled);
    s.mul(gate, s.fma(scaled, s.sub(s.splat(1.0), gate), s.splat(1.0)))
}

/// `Φ(x)`, the normal distribution function.
#[inline(always)]
fn normal<S: Simd>(s: S, x: S::V) -> S::V {
    let half = s.splat(0.5);
    s.fma(half, simd::erf(s, s.mul(x, s.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
}

/// `x Φ(x)`.
#[inline(always)]
pub(super) fn gelu<S: Simd>(s: S, x: S::V) -> S::V {
    s.mul(x, normal(s, x))
}

/// `Φ(x) + x φ(x)`.
#[inline(always)]
pub(super) fn gelu_slope<S: Simd>(s: S, x: S::V) -> S::V {
    gelu_and_slope(s, x).1
}

/// `x Φ(x)` and its slope, with one `Φ` for both.
#[inline(always)]
fn gelu_and_slope<S: Simd>(s: S, x: S::V) -> (S::V, S::V) {
    let density = simd::exp(s, s.mul(s.mul(x, x), s.splat(-0.5)));
    let normal = normal(s, x);
    (s.mul(x, normal), s.fma(s.mul(x, s.splat(INVERSE_SQRT_TAU)), density, normal))
}

/// Rows a task of [`geglu`] takes.
const ROWS: usize = 16;

/// `a · gelu(b)` for rows `[a, b]` of `x [rows, 2 width]`.
pub(crate) fn geglu(level: Level, x: &[f32], width: usize) -> Vec<f32> {
    let rows = x.len() / (2 * width).max(1);
    // SAFETY: the tasks cover every row.
    unsafe {
        memory::filled(rows * width, |y| {
            memory::for_each(rows.div_ceil(ROWS), rows * width * COST, |index| {
                let range = index * ROWS..rows.min((index + 1) * ROWS);
                let x = &x[range.start * 2 * width..range.end * 2 * width];
                level.run(Gate { x, g: None, width, y: y.offset(range.start * width) });
            });
        })
    }
}

/// The gradient of [`geglu`] for the gradient `g [rows, width]` of its value.
pub(crate) fn geglu_gradient(level: Level, x: &[f32], g: &[f32], width: usize) -> Vec<f32> {
    let rows = x.len() / (2 * width).max(1);
    assert_eq!(g.len(), rows * width, "geglu: values of the gradient");
    // SAFETY: the tasks cover every row.
    unsafe {
        memory::filled(x.len(), |y| {
            memory::for_each(rows.div_ceil(ROWS), x.len() * COST, |index| {
                let range = index * ROWS..rows.min((index + 1) * ROWS);
                let x = &x[range.start * 2 * width..range.end * 2 * width];
                let g = Some(&g[range.start * width..range.end * width]);
                level.run(Gate { x, g, width, y: y.offset(range.start * 2 * width) });
            });
        })
    }
}

struct Gate<'a> {
    x: &'a [f32],
    g: Option<&'a [f32]>,
    width: usize,
    y: Shared,
}

impl Work for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.width;
        let whole = width / (APART * S::LANES) * APART * S::LANES;
        for row in 0..self.x.len() / (2 * width) {
            for start in (0..whole).step_by(APART * S::LANES) {
                // SAFETY: the vectors from `start` on are within the row.
                unsafe { self.part(Several::<S, APART>(s), row, start, APART * S::LANES) };
            }
            for start in (whole..width).step_by(S::LANES) {
                // SAFETY: `count` values from `start` on are within the row.
                unsafe { self.part(s, row, start, (width - start).min(S::LANES)) };
            }
        }
    }
}

impl Gate<'_> {
    /// `count` values of a row from `start` on.
    ///
    /// # Safety
    ///
    /// They must be within the width of a row, and at most a vector.
    #[inline(always)]
    unsafe fn part<S: Simd>(&self, s: S, row: usize, start: usize, count: usize) {
        let width = self.width;
        let at = row * 2 * width + start;
        // SAFETY: `count` values from `start` on are within either half of the row, within the row of `g`, and within
        // the task's rows of `y`.
        unsafe {
            let a = load(s, self.x, at, count);
            let b = load(s, self.x, at + width, count);
            match self.g {
                None => store(s, self.y.at(row * width + start), s.mul(a, gelu(s, b)), count),
                Some(g) => {
                    let g = load(s, g, row * width + start, count);
                    let (value, slope) = gelu_and_slope(s, b);
                    store(s, self.y.at(at), s.mul(g, value), count);
                    store(s, self.y.at(at + width), s.mul(s.mul(g, a), slope), count);
                }
            }
        }
    }
}
