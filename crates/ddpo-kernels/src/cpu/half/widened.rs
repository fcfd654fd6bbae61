//! bf16 widened to `f32`, for processors that do not multiply it: the sums of AMX, to the bit.

use super::{PANEL, SIDE, TILE, step::Step};
use crate::simd::{Simd, Work};

/// A step by vectors of `f32`.
pub(super) struct Widened<'a> {
    pub step: Step<'a>,
    pub depth: usize,
}

impl Work for Widened<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for tile in 0..self.depth {
            for (i, left) in self.step.left.iter().enumerate() {
                let left = &left[tile * TILE..][..TILE];
                for half in 0..2 {
                    let right = &self.step.right[(2 * tile + half) * TILE..][..TILE];
                    let sums = &mut self.step.sums[i * SIDE * PANEL + half * SIDE..];
                    match S::LANES {
                        SIDE => product::<S, 8>(s, left, right, sums),
                        _ => product::<S, 4>(s, left, right, sums),
                    }
                }
            }
        }
    }
}

/// Adds the product of two tiles to their sums, whose rows are those of a panel, `R` rows of a vector at a time.
#[inline(always)]
fn product<S: Simd, const R: usize>(s: S, left: &[u16], right: &[u16], sums: &mut [f32]) {
    assert!(left.len() == TILE && right.len() == TILE && SIDE.is_multiple_of(S::LANES));
    assert!(sums.len() >= (SIDE - 1) * PANEL + SIDE);
    for column in (0..SIDE).step_by(S::LANES) {
        for row in (0..SIDE).step_by(R) {
            let (mut even, mut odd) = ([s.splat(0.0); R], [s.splat(0.0); R]);
            for pair in 0..SIDE {
                // SAFETY: a vector of pairs from this column on is within the tile, whose length was seen.
                let right = unsafe { s.load_pairs(right.as_ptr().add(2 * (pair * SIDE + column))) };
                for r in 0..R {
                    let at = 2 * ((row + r) * SIDE + pair);
                    even[r] = s.fma(s.splat(widen(left[at])), right[0], even[r]);
                    odd[r] = s.fma(s.splat(widen(left[at + 1])), right[1], odd[r]);
                }
            }
            for r in 0..R {
                // SAFETY: a vector from this column on is within the row of sums, whose length was seen.
                unsafe {
                    let to = sums.as_mut_ptr().add((row + r) * PANEL + column);
                    s.store(to, s.add(s.load(to), s.add(even[r], odd[r])));
                }
            }
        }
    }
}

/// The `f32` of the same value.
#[inline(always)]
pub(super) fn widen(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}
