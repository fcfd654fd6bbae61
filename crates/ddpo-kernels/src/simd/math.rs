//! Functions of a vector, from polynomials.

use super::Simd;

/// `e^x`, to about two units in the last place; inputs beyond the range of `f32` are clamped to it,
/// so the result is never zero, infinite or subnormal.
///
/// Cephes' reduction: `x = n ln 2 + r`, then a polynomial in `r` and the exponent bits of `n`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = s.max(s.min(x, s.splat(88.0)), s.splat(-87.0));
    let n = s.round(s.mul(x, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_HIGH), x);
    let r = s.fma(n, s.splat(-LN2_LOW), r);
    let tail = polynomial(s, r, &[1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_6e-1, 0.5]);
    let y = s.fma(s.mul(r, r), tail, s.add(r, s.splat(1.0)));
    s.mul(y, s.power_of_two(n))
}

/// `e^x` for `x ≤ 0` to `1.1e-4` of it, for values that are rounded to bf16's eight bits: half the operations of [`exp`]. 1 at 0.
#[inline(always)]
pub(crate) fn short_exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.mul(x, s.splat(std::f32::consts::LOG2_E)), s.splat(-126.0));
    let n = s.round(x);
    // The cubic with the least relative error of 2^r from -1/2 to 1/2 among those that are 1 at 0.
    let y = polynomial(s, s.sub(x, n), &[5.500_893e-2, 2.422_109_5e-1, 6.932_829e-1, 1.0]);
    s.mul(y, s.power_of_two(n))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// The error function, to `5e-7`: the rational approximation that Eigen and XLA use, saturated at
/// ±4 where the function is 1 to the last bit.
#[inline(always)]
pub(crate) fn erf<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(s.min(x, s.splat(4.0)), s.splat(-4.0));
    let square = s.mul(x, x);
    let above = polynomial(
        s,
        square,
        &[
            -2.726_142_3e-10,
            2.770_681_4e-8,
            -2.101_024e-6,
            -5.692_506_4e-5,
            -7.349_906_3e-4,
            -2.954_6e-3,
            -1.609_603_3e-2,
        ],
    );
    let below =
        polynomial(s, square, &[-1.456_607_2e-5, -2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2]);
    s.div(s.mul(x, above), below)
}

/// Horner's rule, the highest power first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(s: S, x: S::V, coefficients: &[f32; N]) -> S::V {
    let mut y = s.splat(coefficients[0]);
    for &c in &coefficients[1..] {
        y = s.fma(y, x, s.splat(c));
    }
    y
}

#[cfg(test)]
mod tests {
    use super::super::{Work, forced::each_level};
    use super::*;

    struct Exponentials(Vec<f32>);

    impl Work for Exponentials {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> Vec<f32> {
            let mut values = self.0;
            for vector in values.chunks_exact_mut(S::LANES) {
                // SAFETY: the vector is a whole one.
                unsafe { s.store(vector.as_mut_ptr(), short_exp(s, s.load(vector.as_ptr()))) };
            }
            values
        }
    }

    #[test]
    fn a_short_exponential_is_good_for_eight_bits() {
        let mut xs: Vec<f32> = (0..8000).map(|i| i as f32 * -0.01).collect();
        xs.resize(8000_usize.next_multiple_of(16) + 16, f32::NEG_INFINITY);
        each_level(|level| {
            let found = level.run(Exponentials(xs.clone()));
            assert_eq!(found[0], 1.0);
            for (x, y) in xs.iter().zip(found) {
                let wanted = f64::from(*x).exp();
                assert!((f64::from(y) - wanted).abs() <= 1.1e-4 * wanted + 1e-37, "e^{x} is {y}, wanted {wanted}");
            }
        });
    }
}
