//! The convolution: tiles in blocks, of which the inputs and the sums of one panel at all positions stay near the core.

use std::ops::Range;

use super::{
    super::{
        conv::{Geometry, Images},
        memory::{self, Shared, with_scratch},
        pack::{PANEL, Panel, Panels},
        product::{Group, MatrixProduct, Start, pad_bias},
        tile::{GROUP, Walk},
    },
    Tiles,
    inputs::{Inputs, pitch, place},
    transform::{Input, Output, Transform, square},
};
use crate::simd::{Level, Simd, Work};

/// Values of a block's inputs at all positions that stay in a core's cache.
const INPUTS: usize = 64 * 1024;
/// Tiles of a block: a product of fewer rows reads its matrix too often, and one of more gains nothing.
const BLOCK: Range<usize> = 12..96;
/// Tiles that fill a product's registers.
const FULL: usize = 12;
/// Values of a carried kernel that do not stay near a core: it is better read once, position by position, for many tiles, whose
/// inputs and sums then come from farther away.
const HEAVY: usize = 1 << 22;
/// Tiles of a block under such a kernel.
const LONG: usize = 10 * FULL;

/// A convolution's result, `[batch, height, width, columns of the matrix]`; `matrix` is the kernel at the positions of
/// the tiles.
pub(crate) fn convolve(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    tiles: Tiles,
    matrix: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(matrix.rows(), tiles.positions() * images.channels, "conv2d: rows of the carried weight");
    assert!(geometry.kernel == [3, 3] && geometry.stride == 1 && geometry.place.step == 1);
    let [height, width] = geometry.output;
    let columns = matrix.columns();
    let bias = bias.map(pad_bias);
    let total = images.batch * tiles.count(geometry.output).iter().product::<usize>();
    let is_heavy = matrix.rows() * columns > HEAVY;
    let each = block(total, images.channels, tiles, is_heavy);
    let blocks = total.div_ceil(each);
    let across = (memory::tasks() / 2 / blocks.max(1)).clamp(1, matrix.count().max(1));
    let work = 2 * tiles.positions() * total * images.channels * columns;
    // SAFETY: the tiles of all blocks cover the outputs, and the panels the columns.
    unsafe {
        memory::filled(images.batch * height * width * columns, |result| {
            memory::for_each(blocks * across, work, |index| {
                let first = index / across * each;
                let block = Block {
                    x,
                    images,
                    geometry,
                    tiles: first..(first + each).min(total),
                    matrix,
                    bias: bias.as_deref(),
                    panels: memory::part(matrix.count(), 1, across, index % across),
                    is_heavy,
                    result,
                };
                match tiles {
                    Tiles::Two => block.run::<4, 2>(level),
                    Tiles::Four => block.run::<6, 4>(level),
                }
            });
        })
    }
}

/// How many tiles a block takes.
fn block(total: usize, channels: usize, tiles: Tiles, is_heavy: bool) -> usize {
    let fit = INPUTS / (tiles.positions() * channels).max(1);
    let most = if is_heavy { LONG } else { (fit / FULL * FULL).clamp(BLOCK.start, BLOCK.end) };
    // An equal number for each thread, where there are enough.
    let blocks = total.div_ceil(most).max(1).next_multiple_of(rayon::current_num_threads());
    total.div_ceil(blocks).next_multiple_of(GROUP).clamp(BLOCK.start, most)
}

/// Some tiles and some panels of a convolution.
struct Block<'a> {
    x: &'a [f32],
    images: Images,
    geometry: Geometry,
    /// Tiles, counted over the batch.
    tiles: Range<usize>,
    matrix: &'a Panels,
    bias: Option<&'a [f32]>,
    panels: Range<usize>,
    /// Whether the kernel is read position by position.
    is_heavy: bool,
    result: Shared,
}

impl Block<'_> {
    /// `N · N` inputs and `M · M` outputs a tile.
    fn run<const N: usize, const M: usize>(self, level: Level)
    where
        Input: Transform<N, N>,
        Output: Transform<N, M>,
    {
        let channels = self.images.channels;
        let rows = self.tiles.len().next_multiple_of(GROUP);
        let (left, sums) = (pitch(rows * channels), pitch(rows * PANEL));
        let groups: Vec<Group> = Group::rows(0, 0, self.tiles.len(), channels, 1).collect();
        // Panels whose sums at all positions are kept until the last position.
        let kept = if self.is_heavy { self.panels.len().max(1) } else { 1 };
        with_scratch(N * N * (left + kept * sums) + channels, |scratch| {
            let (inputs, rest) = scratch.split_at_mut(N * N * left);
            let (sum, zeros) = rest.split_at_mut(N * N * kept * sums);
            zeros.fill(0.0);
            level.run(Inputs::<N, M> {
                x: self.x,
                images: self.images,
                geometry: self.geometry,
                tiles: self.tiles.clone(),
                channels: 0..channels,
                room: channels,
                zeros,
                pitch: left,
                to: Shared::new(inputs),
            });
            let panels: Vec<Panel<'_>> = self.panels.clone().map(|index| self.matrix.panel(index)).collect();
            for panels in panels.chunks(kept) {
                for position in 0..N * N {
                    let left = &inputs[position * left..][..left];
                    for (panel, sum) in panels.iter().zip(sum.chunks_exact_mut(N * N * sums)) {
                        level.run(MatrixProduct {
                            left,
                            walk: Walk::rows(channels, channels),
                            groups: &groups,
                            panel: panel.alone(position * channels..(position + 1) * channels),
                            pitch: panel.width,
                            start: Start::Zero,
                            result: Shared::new(&mut sum[position * sums..][..sums]),
                            unit: panel.width,
                            stride: panel.width,
                        });
                    }
                }
                for (panel, sums_of) in panels.iter().zip(sum.chunks_exact(N * N * sums)) {
                    level.run(Outputs::<N, M> { block: &self, panel: *panel, pitch: sums, sums: sums_of });
                }
            }
        });
    }
}

/// Carries the sums of a panel back to the outputs and adds the bias.
struct Outputs<'a, const N: usize, const M: usize> {
    block: &'a Block<'a>,
    panel: Panel<'a>,
    pitch: usize,
    /// `[position][tile][column of the panel]`.
    sums: &'a [f32],
}

impl<const N: usize, const M: usize> Work for Outputs<'_, N, M>
where
    Output: Transform<N, M>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Panel { width, column, valid, .. } = self.panel;
        let [height, across] = self.block.geometry.output;
        let columns = self.block.matrix.columns();
        let tiles = self.block.tiles.clone();
        assert!(self.pitch >= tiles.len() * width && self.sums.len() >= N * N * self.pitch);
        assert!(self.block.bias.is_none_or(|bias| bias.len() >= column + width));
        assert_eq!(self.block.result.len(), self.block.images.batch * height * across * columns);
        for (row, tile) in tiles.enumerate() {
            let (image, y, x) = place::<M>(self.block.geometry, tile);
            for offset in (0..valid).step_by(S::LANES) {
                let mut sums = [[s.splat(0.0); N]; N];
                for i in 0..N {
                    for j in 0..N {
                        let at = (i * N + j) * self.pitch + row * width + offset;
                        // SAFETY: each position was seen to have a row of `width` values for each tile.
                        sums[i][j] = unsafe { s.load(self.sums.as_ptr().add(at)) };
                    }
                }
                let bias = match self.block.bias {
                    // SAFETY: the bias was seen to cover the panel's width.
                    Some(bias) => unsafe { s.load(bias.as_ptr().add(column + offset)) },
                    None => s.splat(0.0),
                };
                let outputs = square::<S, Output, N, M>(s, &sums);
                let count = (valid - offset).min(S::LANES);
                for i in 0..M.min(height - y) {
                    for j in 0..M.min(across - x) {
                        let value = s.add(outputs[i][j], bias);
                        let at = ((image * height + y + i) * across + x + j) * columns + column + offset;
                        // SAFETY: the pixel is within the image and the columns within the pixel; tiles and panels are
                        // each one task's.
                        unsafe {
                            let to = self.block.result.at(at);
                            if count == S::LANES { s.store(to, value) } else { s.store_partial(to, value, count) }
                        }
                    }
                }
            }
        }
    }
}
