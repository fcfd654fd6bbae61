//! What tiles read, at their positions.

use std::ops::Range;

use super::{
    super::{
        conv::{Geometry, Images},
        memory::Shared,
    },
    transform::{Input, Transform, square},
};
use crate::simd::{Simd, Work};

/// The image of a tile, and its first output row and column.
#[inline(always)]
pub(super) fn place<const M: usize>(geometry: Geometry, tile: usize) -> (usize, usize, usize) {
    let [down, across] = geometry.output.map(|length| length.div_ceil(M));
    (tile / (down * across), tile / across % down * M, tile % across * M)
}

/// A distance between positions that does not let them all fall into the same lines of a cache.
pub(super) fn pitch(length: usize) -> usize {
    (length.div_ceil(16) | 1) * 16
}

/// Carries the inputs of some tiles to the positions: `to[position][tile][channel]`.
pub(super) struct Inputs<'a, const N: usize, const M: usize> {
    pub x: &'a [f32],
    pub images: Images,
    pub geometry: Geometry,
    /// Tiles, counted over the batch.
    pub tiles: Range<usize>,
    pub channels: Range<usize>,
    /// Distance between tiles, at least the channels.
    pub room: usize,
    /// A pixel outside the images.
    pub zeros: &'a [f32],
    /// Distance between positions.
    pub pitch: usize,
    pub to: Shared,
}

impl<const N: usize, const M: usize> Work for Inputs<'_, N, M>
where
    Input: Transform<N, N>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Images { height, width, channels: all, .. } = self.images;
        let (tiles, channels) = (self.tiles.clone(), self.channels.len());
        assert!(self.channels.end <= all && channels <= self.room && self.zeros.len() >= channels);
        assert!(self.to.len() >= N * N * self.pitch && self.pitch >= tiles.len() * self.room);
        for (row, tile) in tiles.enumerate() {
            let (image, y, x) = place::<M>(self.geometry, tile);
            let mut from = [[self.zeros.as_ptr(); N]; N];
            for i in 0..N {
                let y = (y + i).wrapping_add_signed(-self.geometry.before[0]);
                for j in 0..N {
                    let x = (x + j).wrapping_add_signed(-self.geometry.before[1]);
                    if y < height && x < width {
                        let pixel = &self.x[((image * height + y) * width + x) * all..][..all];
                        from[i][j] = pixel[self.channels.clone()].as_ptr();
                    }
                }
            }
            let to = row * self.room;
            let whole = channels / S::LANES * S::LANES;
            for channel in (0..whole).step_by(S::LANES) {
                // SAFETY: every address has `channels` values, and the positions have room for them.
                unsafe { self.vector(s, &from, channel, to + channel, None) };
            }
            if whole < channels {
                // SAFETY: as above.
                unsafe { self.vector(s, &from, whole, to + whole, Some(channels - whole)) };
            }
        }
    }
}

impl<const N: usize, const M: usize> Inputs<'_, N, M>
where
    Input: Transform<N, N>,
{
    /// Carries a vector of channels, or the first `count` of one.
    ///
    /// # Safety
    ///
    /// The addresses must have the vector's values from `channel` on, and each position room for them at `to`.
    #[inline(always)]
    unsafe fn vector<S: Simd>(
        &self,
        s: S,
        from: &[[*const f32; N]; N],
        channel: usize,
        to: usize,
        count: Option<usize>,
    ) {
        let mut inputs = [[s.splat(0.0); N]; N];
        for i in 0..N {
            for j in 0..N {
                // SAFETY: the caller vouches for the values.
                inputs[i][j] = unsafe {
                    let from = from[i][j].add(channel);
                    match count {
                        None => s.load(from),
                        Some(count) => s.load_partial(from, count),
                    }
                };
            }
        }
        let carried = square::<S, Input, N, N>(s, &inputs);
        for i in 0..N {
            for j in 0..N {
                // SAFETY: the caller vouches for the room.
                unsafe {
                    let to = self.to.at((i * N + j) * self.pitch + to);
                    match count {
                        None => s.store(to, carried[i][j]),
                        Some(count) => s.store_partial(to, carried[i][j], count),
                    }
                }
            }
        }
    }
}
