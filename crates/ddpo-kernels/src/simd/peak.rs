//! A loop that does nothing but multiply and add.

use super::{Level, Simd, Work};

/// Runs `rounds` of independent multiply-adds on this thread's vector unit; gives a value that
/// depends on all of them, and the floating-point operations of one round. Benchmarks divide by it.
#[doc(hidden)]
pub fn multiply_adds(rounds: usize) -> (f32, usize) {
    Level::current().run(Peak { rounds })
}

struct Peak {
    rounds: usize,
}

impl Work for Peak {
    type Output = (f32, usize);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f32, usize) {
        const CHAINS: usize = 10;
        const REPEAT: usize = 8;
        let mut sums = [s.splat(0.5); CHAINS];
        let (scale, shift) = (s.splat(std::hint::black_box(0.5)), s.splat(0.25));
        for _ in 0..self.rounds {
            for _ in 0..REPEAT {
                for sum in &mut sums {
                    *sum = s.fma(*sum, scale, shift);
                }
            }
        }
        let total = sums.into_iter().fold(s.splat(0.0), |a, b| s.add(a, b));
        (s.sum(total), CHAINS * REPEAT * S::LANES * 2)
    }
}
