//! The left-hand side of a product: rows gathered from images, rounded to bf16 and brought into tiles.

use std::ops::Range;

use super::{DEPTH, SIDE, TILE};
use crate::{
    cpu::conv::{Geometry, Images},
    simd::{Simd, Work, round},
};

/// Images, and how a kernel moves over them.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub x: &'a [f32],
    pub images: Images,
    pub geometry: Geometry,
}

/// An output pixel, as the kernel finds it.
#[derive(Clone, Copy)]
struct Corner {
    /// The first pixel of its image.
    image: usize,
    /// The row and the column of the image under the first position of the kernel.
    at: [isize; 2],
}

impl Source<'_> {
    /// The image, the row and the column of an output, counted over the batch.
    fn output(&self, row: usize) -> [usize; 3] {
        let [height, width] = self.geometry.output;
        [row / (height * width), row / width % height, row % width]
    }

    /// The pixel of the result that an output goes to, counted over the batch.
    pub(super) fn place(&self, row: usize) -> usize {
        let [image, y, x] = self.output(row);
        self.geometry.place.row(image, y) + x * self.geometry.place.step
    }

    fn corner(&self, row: usize) -> Corner {
        let [image, y, x] = self.output(row);
        let at = |axis: usize, index: usize| (index * self.geometry.stride) as isize - self.geometry.before[axis];
        Corner { image: image * self.images.pixels(), at: [at(0, y), at(1, x)] }
    }

    /// The channels of the pixel under position `tap` of the kernel; none outside the image.
    #[inline(always)]
    fn pixel(&self, corner: &Corner, tap: usize) -> Option<&[f32]> {
        let across = self.geometry.kernel[1];
        let y = usize::try_from(corner.at[0] + (tap / across) as isize).ok()?;
        let x = usize::try_from(corner.at[1] + (tap % across) as isize).ok()?;
        let Images { height, width, channels, .. } = self.images;
        let inside = y < height && x < width;
        inside.then(|| &self.x[(corner.image + y * width + x) * channels..][..channels])
    }
}

/// Brings some tiles of `K` of some rows into order: `to[tile of rows][tile of K][row][value]`.
pub(super) struct Gather<'a> {
    pub source: Source<'a>,
    pub rows: Range<usize>,
    pub tiles: Range<usize>,
    pub to: &'a mut [u16],
}

impl Work for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let size = self.tiles.len() * TILE;
        if size == 0 {
            return;
        }
        let whole = self.source.images.channels.is_multiple_of(DEPTH);
        for (first, to) in self.rows.clone().step_by(SIDE).zip(self.to.chunks_exact_mut(size)) {
            let count = SIDE.min(self.rows.end - first);
            let mut corners = [Corner { image: 0, at: [0; 2] }; SIDE];
            for (r, corner) in corners[..count].iter_mut().enumerate() {
                *corner = self.source.corner(first + r);
            }
            if whole {
                whole_tiles(&self.source, &corners[..count], self.tiles.clone(), to);
            } else {
                any_tiles(&self.source, &corners[..count], self.tiles.clone(), to);
            }
        }
    }
}

/// Tiles each of which lies within a pixel's channels.
#[inline(always)]
fn whole_tiles(source: &Source<'_>, corners: &[Corner], tiles: Range<usize>, to: &mut [u16]) {
    let each = source.images.channels / DEPTH;
    let (mut pixels, mut of) = ([None; SIDE], usize::MAX);
    for (tile, to) in tiles.zip(to.chunks_exact_mut(TILE)) {
        if tile / each != of {
            of = tile / each;
            for (pixel, corner) in pixels.iter_mut().zip(corners) {
                *pixel = source.pixel(corner, of);
            }
        }
        let at = tile % each * DEPTH;
        for (pixel, to) in pixels.iter().zip(to.as_chunks_mut().0) {
            match pixel.and_then(|pixel| pixel[at..].first_chunk()) {
                Some(from) => round_row(to, from),
                None => *to = [0; DEPTH],
            }
        }
    }
}

/// Tiles that lie anywhere.
#[inline(always)]
fn any_tiles(source: &Source<'_>, corners: &[Corner], tiles: Range<usize>, to: &mut [u16]) {
    let channels = source.images.channels;
    let taps: usize = source.geometry.kernel.iter().product();
    to.fill(0);
    for (tile, to) in tiles.zip(to.chunks_exact_mut(TILE)) {
        for (corner, to) in corners.iter().zip(to.as_chunks_mut().0) {
            let mut row = [0.0; DEPTH];
            let mut filled = 0;
            while filled < DEPTH && tile * DEPTH + filled < taps * channels {
                let (tap, channel) = ((tile * DEPTH + filled) / channels, (tile * DEPTH + filled) % channels);
                let count = (channels - channel).min(DEPTH - filled);
                if let Some(pixel) = source.pixel(corner, tap) {
                    row[filled..filled + count].copy_from_slice(&pixel[channel..channel + count]);
                }
                filled += count;
            }
            round_row(to, &row);
        }
    }
}

/// Rounds a tile's row.
#[inline(always)]
fn round_row(to: &mut [u16; DEPTH], from: &[f32; DEPTH]) {
    for (to, &from) in to.iter_mut().zip(from) {
        *to = round(from);
    }
}
