//! What carries inputs, kernels and sums to the positions of a tile and back, in one direction.
//!
//! Polynomials of the length of a row are multiplied by their values at points: 0, 1, −1 and ∞ for four positions,
//! 0, ±2/3, ±3/2 and ∞ for six. That the points of a pair are each other's inverse keeps the coefficients near one:
//! the largest error of a convolution is then that of the direct sum, where the customary ±1, ±2 have five times as much.

use crate::simd::Simd;

/// The pairs of points beside 0 and ∞.
const A: f32 = 2.0 / 3.0;
const B: f32 = 1.5;
const A2: f32 = 4.0 / 9.0;
const B2: f32 = 2.25;
const A3: f32 = 8.0 / 27.0;
const B3: f32 = 3.375;
/// `1 / (2a²(a² − b²))` and `1 / (2b²(b² − a²))`: what the values of a kernel at the points are divided by.
const KA: f32 = -0.623_076_9;
const KB: f32 = 0.123_076_92;

/// A transform in one direction, from `N` values to `M`.
pub(super) trait Transform<const N: usize, const M: usize> {
    fn apply<S: Simd>(s: S, x: [S::V; N]) -> [S::V; M];
}

/// Inputs to positions.
pub(super) struct Input;
/// A kernel to positions.
pub(super) struct Kernel;
/// Sums at positions to outputs.
pub(super) struct Output;

impl Transform<4, 4> for Input {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 4] {
        [s.sub(a, c), s.add(b, c), s.sub(c, b), s.sub(d, b)]
    }
}

impl Transform<3, 4> for Kernel {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c]: [S::V; 3]) -> [S::V; 4] {
        let half = s.splat(0.5);
        let even = s.mul(half, s.add(a, c));
        [a, s.fma(half, b, even), s.fma(s.splat(-0.5), b, even), c]
    }
}

impl Transform<4, 2> for Output {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 2] {
        [s.add(a, s.add(b, c)), s.add(d, s.sub(b, c))]
    }
}

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d, e, f]: [S::V; 6]) -> [S::V; 6] {
        let both = s.splat(-(A2 + B2));
        let (even, odd) = (s.fma(s.splat(-B2), c, e), s.fma(s.splat(-B2), b, d));
        let (even2, odd2) = (s.fma(s.splat(-A2), c, e), s.fma(s.splat(-A2), b, d));
        [
            s.fma(both, c, s.add(a, e)),
            s.fma(s.splat(A), odd, even),
            s.fma(s.splat(-A), odd, even),
            s.fma(s.splat(B), odd2, even2),
            s.fma(s.splat(-B), odd2, even2),
            s.fma(both, d, s.add(b, f)),
        ]
    }
}

impl Transform<3, 6> for Kernel {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c]: [S::V; 3]) -> [S::V; 6] {
        let even = s.mul(s.splat(KA), s.fma(s.splat(A2), c, a));
        let even2 = s.mul(s.splat(KB), s.fma(s.splat(B2), c, a));
        [
            a,
            s.fma(s.splat(KA * A), b, even),
            s.fma(s.splat(-KA * A), b, even),
            s.fma(s.splat(KB * B), b, even2),
            s.fma(s.splat(-KB * B), b, even2),
            c,
        ]
    }
}

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d, e, f]: [S::V; 6]) -> [S::V; 4] {
        let (even, odd) = (s.add(b, c), s.sub(b, c));
        let (even2, odd2) = (s.add(d, e), s.sub(d, e));
        [
            s.add(a, s.add(even, even2)),
            s.fma(s.splat(A), odd, s.mul(s.splat(B), odd2)),
            s.fma(s.splat(A2), even, s.mul(s.splat(B2), even2)),
            s.fma(s.splat(A3), odd, s.fma(s.splat(B3), odd2, f)),
        ]
    }
}

/// The adjoint of [`Kernel`]: sums at positions to the gradient of a kernel.
pub(super) struct KernelGradient;
/// The adjoint of [`Output`]: gradients of outputs to positions.
pub(super) struct OutputGradient;

impl Transform<4, 3> for KernelGradient {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 3] {
        let half = s.splat(0.5);
        let (even, odd) = (s.mul(half, s.add(b, c)), s.mul(half, s.sub(b, c)));
        [s.add(a, even), odd, s.add(even, d)]
    }
}

impl Transform<2, 4> for OutputGradient {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b]: [S::V; 2]) -> [S::V; 4] {
        [a, s.add(a, b), s.sub(a, b), b]
    }
}

impl Transform<6, 3> for KernelGradient {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d, e, f]: [S::V; 6]) -> [S::V; 3] {
        let (even, odd) = (s.mul(s.splat(KA), s.add(b, c)), s.mul(s.splat(KA * A), s.sub(b, c)));
        let (even2, odd2) = (s.mul(s.splat(KB), s.add(d, e)), s.mul(s.splat(KB * B), s.sub(d, e)));
        [s.add(a, s.add(even, even2)), s.add(odd, odd2), s.fma(s.splat(A2), even, s.fma(s.splat(B2), even2, f))]
    }
}

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply<S: Simd>(s: S, [a, b, c, d]: [S::V; 4]) -> [S::V; 6] {
        let (even, odd) = (s.fma(s.splat(A2), c, a), s.fma(s.splat(A3), d, s.mul(s.splat(A), b)));
        let (even2, odd2) = (s.fma(s.splat(B2), c, a), s.fma(s.splat(B3), d, s.mul(s.splat(B), b)));
        [a, s.add(even, odd), s.sub(even, odd), s.add(even2, odd2), s.sub(even2, odd2), d]
    }
}

/// The transform `T` down the columns and then along the rows of a square.
#[inline(always)]
pub(super) fn square<S: Simd, T: Transform<N, M>, const N: usize, const M: usize>(
    s: S,
    x: &[[S::V; N]; N],
) -> [[S::V; M]; M] {
    let zero = s.splat(0.0);
    // Loops, not `array::from_fn`: its closures would not be compiled for the unit.
    let mut half = [[zero; N]; M];
    for j in 0..N {
        let mut column = [zero; N];
        for i in 0..N {
            column[i] = x[i][j];
        }
        let column = T::apply(s, column);
        for i in 0..M {
            half[i][j] = column[i];
        }
    }
    let mut result = [[zero; M]; M];
    for i in 0..M {
        result[i] = T::apply(s, half[i]);
    }
    result
}
