//! The kernel of all products: a tile of the result held in registers over the whole of `K`.
//!
//! An element of the result is always `init + a₀b₀ + a₁b₁ + …`, one fused multiply-add after the
//! other in the order of `K`, whatever the shape of its tile. That is why a row's result does not
//! depend on the batch, the tail of a matrix or the number of threads.

use crate::simd::Simd;

/// Rows of a group: they are `Walk::row` apart, so that one address serves them all.
pub(crate) const GROUP: usize = 4;

/// How the left-hand side lies in memory: element `k` of row `r` of a group that starts at `a` is
/// `a[r · row + p · lift + s · jump + i · step]`, with `k = (p · segments + s) · length + i`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// Distance between the rows of a group.
    pub row: usize,
    /// Distance between elements within a segment.
    pub step: usize,
    /// Elements in a segment.
    pub length: usize,
    /// Segments in a plane.
    pub segments: usize,
    /// Distance between segments.
    pub jump: usize,
    /// Planes.
    pub planes: usize,
    /// Distance between planes.
    pub lift: usize,
}

impl Walk {
    /// Rows of `k` consecutive values, `row` apart.
    pub(crate) fn rows(k: usize, row: usize) -> Self {
        Self { row, step: 1, length: k, segments: 1, jump: 0, planes: 1, lift: 0 }
    }

    /// Elements of a row.
    pub(crate) fn depth(&self) -> usize {
        self.length * self.segments * self.planes
    }

    /// Values from the start of a group to the end of what it reads.
    pub(crate) fn reach(&self) -> usize {
        if self.depth() == 0 {
            return 0;
        }
        (GROUP - 1) * self.row
            + (self.planes - 1) * self.lift
            + (self.segments - 1) * self.jump
            + (self.length - 1) * self.step
            + 1
    }
}

/// A tile of `G` groups by `NV` vectors.
pub(crate) type Tile<V, const G: usize, const NV: usize> = [[[V; NV]; GROUP]; G];

/// Adds the product of `G` groups of rows and `NV` vectors of columns to `tile`.
///
/// # Safety
///
/// Each address in `a` must be valid for reading [`Walk::reach`] values, and `b` for reading `NV`
/// vectors at each of [`Walk::depth`] rows `pitch` apart.
#[inline(always)]
pub(crate) unsafe fn accumulate<S: Simd, const G: usize, const NV: usize>(
    s: S,
    a: [*const f32; G],
    walk: &Walk,
    b: *const f32,
    pitch: usize,
    tile: &mut Tile<S::V, G, NV>,
) {
    let Walk { row, step, length, segments, jump, planes, lift } = *walk;
    let mut sum = *tile;
    let mut b = b;
    // Nested loops, not one: finding a segment by division would cost as much as a short segment.
    for plane in 0..planes {
        for segment in 0..segments {
            // SAFETY: the start of a segment is within reach.
            let mut a = a.map(|a| unsafe { a.add(plane * lift + segment * jump) });
            for _ in 0..length {
                let mut right = [s.splat(0.0); NV];
                for (v, right) in right.iter_mut().enumerate() {
                    // SAFETY: the caller vouches for `NV` vectors at this row.
                    *right = unsafe { s.load(b.add(v * S::LANES)) };
                }
                for g in 0..G {
                    for (r, sum) in sum[g].iter_mut().enumerate() {
                        // SAFETY: this element is within the reach of the group.
                        let left = s.splat(unsafe { *a[g].add(r * row) });
                        for v in 0..NV {
                            sum[v] = s.fma(left, right[v], sum[v]);
                        }
                    }
                    // Past the last element this address is never read, hence `wrapping`.
                    a[g] = a[g].wrapping_add(step);
                }
                b = b.wrapping_add(pitch);
            }
        }
    }
    *tile = sum;
}
