//! Vectors of sixteen pairs: AVX512-BF16.

use std::arch::x86_64::{__m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512};
use std::arch::x86_64::{_mm512_set1_epi32, _mm512_storeu_ps};

use super::{PANEL, SIDE, TILE, step::Step};

/// Rows whose sums are in registers at a time.
const ROWS: usize = 8;

/// Adds the product of `depth` tiles of one or two tiles of rows and two of columns to their sums.
///
/// # Safety
///
/// The processor must have AVX512-BF16; each tile of rows must be `depth` tiles, and the right-hand side twice as many.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn accumulate(step: Step<'_>, depth: usize) {
    for (tile, left) in step.left.iter().enumerate() {
        for row in (0..SIDE).step_by(ROWS) {
            // SAFETY: the rows are within the tile, and its sums within those of the strip; the caller vouches for the rest.
            unsafe {
                let sums = step.sums.as_mut_ptr().add((tile * SIDE + row) * PANEL);
                rows(left.as_ptr().cast::<i32>().add(row * SIDE), step.right.as_ptr().cast(), sums, depth);
            }
        }
    }
}

/// [`ROWS`] rows: pairs of the left-hand side at `left`, sums at `sums`.
///
/// # Safety
///
/// As [`accumulate`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn rows(left: *const i32, right: *const i32, sums: *mut f32, depth: usize) {
    const PAIRS: usize = TILE / 2;
    // SAFETY: in all of it, the caller vouches for the memory; no alignment is asked.
    unsafe {
        let mut sum: [[__m512; 2]; ROWS] = [[_mm512_loadu_ps(sums); 2]; ROWS];
        for (r, sum) in sum.iter_mut().enumerate() {
            *sum = [_mm512_loadu_ps(sums.add(r * PANEL)), _mm512_loadu_ps(sums.add(r * PANEL + SIDE))];
        }
        for tile in 0..depth {
            for pair in 0..SIDE {
                let at = right.add(tile * 2 * PAIRS + pair * SIDE);
                let (first, second) =
                    (pairs(_mm512_loadu_si512(at.cast())), pairs(_mm512_loadu_si512(at.add(PAIRS).cast())));
                for (r, sum) in sum.iter_mut().enumerate() {
                    let left = pairs(_mm512_set1_epi32(*left.add(tile * PAIRS + r * SIDE + pair)));
                    *sum = [_mm512_dpbf16_ps(sum[0], left, first), _mm512_dpbf16_ps(sum[1], left, second)];
                }
            }
        }
        for (r, sum) in sum.iter().enumerate() {
            _mm512_storeu_ps(sums.add(r * PANEL), sum[0]);
            _mm512_storeu_ps(sums.add(r * PANEL + SIDE), sum[1]);
        }
    }
}

/// The same bits as pairs of bf16.
#[inline(always)]
fn pairs(bits: __m512i) -> __m512bh {
    // SAFETY: both are 64 bytes without an invalid pattern.
    unsafe { std::mem::transmute(bits) }
}
