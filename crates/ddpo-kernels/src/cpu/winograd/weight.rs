//! A kernel at the positions of a tile.

use super::{
    super::pack::{Panel, Panels},
    Tiles,
    transform::{Kernel, Transform, square},
};
use crate::simd::{Level, Simd, Work};

impl Tiles {
    /// A 3×3 kernel's matrix `[9 · in, out]` carried to the positions of a tile, `[positions · in, out]`.
    pub(crate) fn carry(self, level: Level, matrix: &Panels) -> Panels {
        let channels = matrix.rows() / 9;
        matrix.derive(self.positions() * channels, |panel, to| match self {
            Self::Two => level.run(Carry::<4> { panel, channels, to }),
            Self::Four => level.run(Carry::<6> { panel, channels, to }),
        })
    }
}

/// The panel of a kernel, and the one at `N · N` positions to write.
struct Carry<'a, const N: usize> {
    panel: Panel<'a>,
    channels: usize,
    to: &'a mut [f32],
}

impl<const N: usize> Work for Carry<'_, N>
where
    Kernel: Transform<3, N>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.panel.width;
        let pitch = self.channels * width;
        assert!(self.panel.values.len() >= 9 * pitch && self.to.len() >= N * N * pitch);
        assert!(pitch.is_multiple_of(S::LANES));
        for at in (0..pitch).step_by(S::LANES) {
            let mut kernel = [[s.splat(0.0); 3]; 3];
            for i in 0..3 {
                for j in 0..3 {
                    // SAFETY: a vector at `at` is within a position's values, of which the panel was seen to have nine.
                    kernel[i][j] = unsafe { s.load(self.panel.values.as_ptr().add((i * 3 + j) * pitch + at)) };
                }
            }
            let carried = square::<S, Kernel, 3, N>(s, &kernel);
            for i in 0..N {
                for j in 0..N {
                    // SAFETY: as above; the panel to write was seen to have `N · N` positions.
                    unsafe { s.store(self.to.as_mut_ptr().add((i * N + j) * pitch + at), carried[i][j]) };
                }
            }
        }
    }
}
