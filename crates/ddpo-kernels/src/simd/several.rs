//! Several vectors as one.

use super::Simd;

/// `N` vectors of a unit, taken as one vector: each operation is done on all of them before the next, so that a long
/// chain of operations, such as an exponential, need not wait for its own results. What the trait does by itself through a
/// buffer of sixteen lanes is done here a vector at a time.
#[derive(Clone, Copy)]
pub(crate) struct Several<S, const N: usize>(pub S);

/// An operation on each of the vectors.
macro_rules! each {
    ($n:expr, $zero:expr, $i:ident => $value:expr) => {{
        let mut result = $zero;
        for $i in 0..$n {
            result[$i] = $value;
        }
        result
    }};
}

impl<S: Simd, const N: usize> Simd for Several<S, N> {
    type V = [S::V; N];
    const LANES: usize = N * S::LANES;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [self.0.splat(value); N]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.add(a[i], b[i]))
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.sub(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.mul(a[i], b[i]))
    }

    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.div(a[i], b[i]))
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.min(a[i], b[i]))
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        each!(N, a, i => self.0.max(a[i], b[i]))
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each!(N, a, i => self.0.fma(a[i], b[i], c[i]))
    }

    #[inline(always)]
    fn round(self, a: Self::V) -> Self::V {
        each!(N, a, i => self.0.round(a[i]))
    }

    #[inline(always)]
    fn power_of_two(self, n: Self::V) -> Self::V {
        each!(N, n, i => self.0.power_of_two(n[i]))
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for all vectors.
        each!(N, self.splat(0.0), i => unsafe { self.0.load(from.add(i * S::LANES)) })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Self::V) {
        for (i, value) in value.into_iter().enumerate() {
            // SAFETY: the caller vouches for all vectors.
            unsafe { self.0.store(to.add(i * S::LANES), value) };
        }
    }

    #[inline(always)]
    unsafe fn load_pairs(self, from: *const u16) -> [Self::V; 2] {
        let [mut first, mut second] = [self.splat(0.0); 2];
        for (i, (first, second)) in first.iter_mut().zip(&mut second).enumerate() {
            // SAFETY: the caller vouches for all vectors.
            [*first, *second] = unsafe { self.0.load_pairs(from.add(2 * i * S::LANES)) };
        }
        [first, second]
    }

    #[inline(always)]
    unsafe fn store_pairs(self, to: *mut u16, first: Self::V, second: Self::V) {
        for (i, (first, second)) in first.into_iter().zip(second).enumerate() {
            // SAFETY: the caller vouches for all vectors.
            unsafe { self.0.store_pairs(to.add(2 * i * S::LANES), first, second) };
        }
    }

    #[inline(always)]
    unsafe fn load_partial(self, from: *const f32, count: usize) -> Self::V {
        let mut result = self.splat(0.0);
        for (i, value) in result.iter_mut().enumerate() {
            let count = count.saturating_sub(i * S::LANES).min(S::LANES);
            // SAFETY: the caller vouches for the values before `count`.
            *value = unsafe { self.0.load_partial(from.wrapping_add(i * S::LANES), count) };
        }
        result
    }

    #[inline(always)]
    unsafe fn store_partial(self, to: *mut f32, value: Self::V, count: usize) {
        for (i, value) in value.into_iter().enumerate() {
            let count = count.saturating_sub(i * S::LANES).min(S::LANES);
            // SAFETY: the caller vouches for the values before `count`.
            unsafe { self.0.store_partial(to.wrapping_add(i * S::LANES), value, count) };
        }
    }

    #[inline(always)]
    fn first(self, value: Self::V, count: usize) -> Self::V {
        each!(N, value, i => self.0.first(value[i], count.saturating_sub(i * S::LANES).min(S::LANES)))
    }

    #[inline(always)]
    fn sum(self, value: Self::V) -> f32 {
        let mut sum = 0.0;
        for value in value {
            sum += self.0.sum(value);
        }
        sum
    }
}
