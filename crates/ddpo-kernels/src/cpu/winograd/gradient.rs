//! The gradient of a 3×3 kernel.

use std::ops::Range;

use super::{
    super::{
        conv::{Geometry, Images},
        memory::{self, Shared, with_scratch},
        pack::{self, PANEL, Panel},
        product::{Group, MatrixProduct, Start},
        tile::{GROUP, Walk},
    },
    Tiles,
    inputs::{Inputs, pitch, place},
    transform::{Input, KernelGradient, OutputGradient, Transform, square},
};
use crate::simd::{Level, Simd, Work};

/// Channels, of the inputs or of the outputs, whose sums at all positions one task has.
const CHANNELS: usize = 128;
/// Values of a block's tiles at all positions that stay in a core's cache.
const VALUES: usize = 160 * 1024;
/// Tiles of a block: fewer read and write the sums too often.
const BLOCK: Range<usize> = 48..192;

/// The gradient of the weight, `[9 · channels, n]`, for the output gradient `g`, `[batch, output height, output width, n]`.
pub(crate) fn weight_gradient(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    tiles: Tiles,
    g: &[f32],
    n: usize,
) -> Vec<f32> {
    let [height, width] = geometry.output;
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(g.len(), images.batch * height * width * n, "conv2d: values of the gradient");
    assert!(geometry.kernel == [3, 3] && geometry.stride == 1 && geometry.place.step == 1);
    let mut result = vec![0.0; 9 * images.channels * n];
    let total = images.batch * tiles.count(geometry.output).iter().product::<usize>();
    // Which tiles are summed in registers depends on the shapes alone.
    let near = CHANNELS.min(images.channels) + CHANNELS.min(n);
    let block = (VALUES / (tiles.positions() * near).max(1)).clamp(BLOCK.start, BLOCK.end);
    let panels = n.div_ceil(PANEL);
    let down = images.channels.div_ceil(CHANNELS);
    // More tasks than parts where there would be a thread without one.
    let across = n.div_ceil(CHANNELS).max(rayon::current_num_threads().div_ceil(down.max(1))).min(panels.max(1));
    let shared = Shared::new(&mut result);
    let work = 2 * tiles.positions() * total * images.channels * n;
    memory::for_each(down * across, work, |index| {
        let part = Part {
            x,
            images,
            geometry,
            g,
            n,
            channels: memory::part(images.channels, GROUP, down, index / across),
            panels: memory::part(panels, 1, across, index % across),
            result: shared,
        };
        match tiles {
            Tiles::Two => part.run::<4, 2>(level, total, block),
            Tiles::Four => part.run::<6, 4>(level, total, block),
        }
    });
    result
}

/// Some input channels and some panels of the gradient.
struct Part<'a> {
    x: &'a [f32],
    images: Images,
    geometry: Geometry,
    g: &'a [f32],
    n: usize,
    channels: Range<usize>,
    panels: Range<usize>,
    result: Shared,
}

impl Part<'_> {
    /// `N · N` inputs and `M · M` outputs a tile.
    fn run<const N: usize, const M: usize>(self, level: Level, total: usize, block: usize)
    where
        Input: Transform<N, N>,
        OutputGradient: Transform<M, N>,
        KernelGradient: Transform<N, 3>,
    {
        // A group of four channels must not reach into the next tile.
        let room = self.channels.len().next_multiple_of(GROUP);
        let block = block.min(total);
        let (left, right, sums) = (pitch(block * room), pitch(block * PANEL), pitch(room * PANEL));
        let groups: Vec<Group> = Group::rows(0, 0, self.channels.len(), 1, 1).collect();
        with_scratch(N * N * (left + right + self.panels.len() * sums) + room, |scratch| {
            let (inputs, rest) = scratch.split_at_mut(N * N * left);
            let (gradients, rest) = rest.split_at_mut(N * N * right);
            let (sum, zeros) = rest.split_at_mut(N * N * self.panels.len() * sums);
            zeros.fill(0.0);
            sum.fill(0.0);
            // Channels beyond the last are read and dropped.
            inputs.fill(0.0);
            for first in (0..total).step_by(block.max(1)) {
                let tiles = first..(first + block).min(total);
                level.run(Inputs::<N, M> {
                    x: self.x,
                    images: self.images,
                    geometry: self.geometry,
                    tiles: tiles.clone(),
                    channels: self.channels.clone(),
                    room,
                    zeros,
                    pitch: left,
                    to: Shared::new(inputs),
                });
                for (panel, sum) in self.panels.clone().zip(sum.chunks_exact_mut(N * N * sums)) {
                    let (column, width, valid) = pack::geometry(self.n, panel);
                    let Self { geometry, g, n, .. } = self;
                    let to = Shared::new(gradients);
                    let tiles = tiles.clone();
                    let count = tiles.len();
                    level.run(Gradients::<N, M> { geometry, g, n, tiles, column, width, valid, pitch: right, to });
                    for position in 0..N * N {
                        let values = &gradients[position * right..][..count * width];
                        level.run(MatrixProduct {
                            left: &inputs[position * left..][..left],
                            walk: Walk { row: 1, step: room, length: count, segments: 1, jump: 0, planes: 1, lift: 0 },
                            groups: &groups,
                            panel: Panel { values, width, column: 0, valid: width },
                            pitch: width,
                            start: Start::Add,
                            result: Shared::new(&mut sum[position * sums..][..sums]),
                            unit: width,
                            stride: width,
                        });
                    }
                }
            }
            for (panel, sums_of) in self.panels.clone().zip(sum.chunks_exact(N * N * sums)) {
                level.run(Kernels::<N> {
                    part: &self,
                    panel: pack::geometry(self.n, panel),
                    pitch: sums,
                    sums: sums_of,
                });
            }
        });
    }
}

/// Carries the gradients of some tiles' outputs to the positions: `to[position][tile][column of the panel]`, with zeros behind the
/// columns in use.
struct Gradients<'a, const N: usize, const M: usize> {
    geometry: Geometry,
    g: &'a [f32],
    n: usize,
    tiles: Range<usize>,
    column: usize,
    width: usize,
    valid: usize,
    pitch: usize,
    to: Shared,
}

impl<const N: usize, const M: usize> Work for Gradients<'_, N, M>
where
    OutputGradient: Transform<M, N>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [height, across] = self.geometry.output;
        let Self { n, column, width, valid, .. } = self;
        assert!(valid <= width && width.is_multiple_of(S::LANES) && column + valid <= n);
        assert!(self.to.len() >= N * N * self.pitch && self.pitch >= self.tiles.len() * width);
        for (row, tile) in self.tiles.clone().enumerate() {
            let (image, y, x) = place::<M>(self.geometry, tile);
            for offset in (0..width).step_by(S::LANES) {
                let count = valid.saturating_sub(offset).min(S::LANES);
                let mut outputs = [[s.splat(0.0); M]; M];
                for i in 0..M.min(height - y) {
                    for j in 0..M.min(across - x) {
                        let at = ((image * height + y + i) * across + x + j) * n + column + offset.min(valid);
                        let from = &self.g[at..][..count];
                        // SAFETY: there are `count` values.
                        outputs[i][j] = unsafe {
                            match count == S::LANES {
                                true => s.load(from.as_ptr()),
                                false => s.load_partial(from.as_ptr(), count),
                            }
                        };
                    }
                }
                let carried = square::<S, OutputGradient, M, N>(s, &outputs);
                for i in 0..N {
                    for j in 0..N {
                        let at = (i * N + j) * self.pitch + row * width + offset;
                        // SAFETY: each position was seen to have a row of `width` values for each tile.
                        unsafe { s.store(self.to.at(at), carried[i][j]) };
                    }
                }
            }
        }
    }
}

/// Carries the sums of a panel to the gradient of the kernel.
struct Kernels<'a, const N: usize> {
    part: &'a Part<'a>,
    panel: (usize, usize, usize),
    pitch: usize,
    /// `[position][channel][column of the panel]`.
    sums: &'a [f32],
}

impl<const N: usize> Work for Kernels<'_, N>
where
    KernelGradient: Transform<N, 3>,
{
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (column, width, valid) = self.panel;
        let Part { n, images, result, .. } = self.part;
        let channels = self.part.channels.clone();
        assert!(valid <= width && width.is_multiple_of(S::LANES) && column + valid <= *n);
        assert!(self.sums.len() >= N * N * self.pitch && self.pitch >= channels.len() * width);
        assert!(channels.end <= images.channels && result.len() == 9 * images.channels * n);
        for (row, channel) in channels.enumerate() {
            for offset in (0..valid).step_by(S::LANES) {
                let mut sums = [[s.splat(0.0); N]; N];
                for i in 0..N {
                    for j in 0..N {
                        let at = (i * N + j) * self.pitch + row * width + offset;
                        // SAFETY: each position was seen to have a row of `width` values for each channel.
                        sums[i][j] = unsafe { s.load(self.sums.as_ptr().add(at)) };
                    }
                }
                let kernel = square::<S, KernelGradient, N, 3>(s, &sums);
                let count = (valid - offset).min(S::LANES);
                for i in 0..3 {
                    for j in 0..3 {
                        let at = ((i * 3 + j) * images.channels + channel) * n + column + offset;
                        // SAFETY: the channel and the columns are within the gradient, and this task's alone.
                        unsafe {
                            let to = result.at(at);
                            match count == S::LANES {
                                true => s.store(to, kernel[i][j]),
                                false => s.store_partial(to, kernel[i][j], count),
                            }
                        }
                    }
                }
            }
        }
    }
}
