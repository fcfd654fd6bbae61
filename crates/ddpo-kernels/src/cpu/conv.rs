//! Convolution as a product whose left-hand side is read from a padded copy of a few image rows.
//!
//! A kernel row covers `kernel width · channels` consecutive values of the padded copy, so a pixel's
//! left-hand row is one segment per kernel row and is never gathered. Each task pads only the rows it
//! needs, in a buffer that stays in its core's cache.

use std::ops::Range;

use super::{
    memory::{self, with_scratch},
    pack::Panels,
    product::{Group, Product, Start, pad_bias},
    tile::{GROUP, Walk},
};
use crate::simd::Level;

/// Images in memory, `[batch, height, width, channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Images {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

impl Images {
    /// Number of values.
    pub(crate) fn len(&self) -> usize {
        self.batch * self.height * self.width * self.channels
    }

    /// The lengths of the axes.
    pub(crate) fn shape(&self) -> [usize; 4] {
        [self.batch, self.height, self.width, self.channels]
    }

    /// Number of pixels of an image.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }
}

/// How the kernel moves over the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step between outputs.
    pub stride: usize,
    /// Distance between the pixels of the images in the padded copy: 1, or more with zeros between.
    pub dilation: usize,
    /// Zero rows above and zero columns left of the images; what lies below and right follows from
    /// the size of the output.
    pub before: [isize; 2],
    /// Height and width of the output.
    pub output: [usize; 2],
}

impl Geometry {
    /// Width of the padded copy.
    pub(super) fn padded_width(&self) -> usize {
        (self.output[1].max(1) - 1) * self.stride + self.kernel[1]
    }

    /// Rows of the padded copy that `rows` output rows need.
    pub(super) fn padded_rows(&self, rows: usize) -> usize {
        if rows == 0 { 0 } else { (rows - 1) * self.stride + self.kernel[0] }
    }
}

/// Values of padded copies that stay in a core's cache beside a panel.
const COPY: usize = 96 * 1024;

/// A convolution's result, `[batch, output height, output width, columns of the matrix]`.
pub(crate) fn convolve(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    matrix: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let [height, width] = geometry.output;
    let (k, n) = (matrix.rows(), matrix.columns());
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(k, geometry.kernel[0] * geometry.kernel[1] * images.channels, "conv2d: rows of the weight");
    let bias = bias.map(pad_bias);
    let start = bias.as_deref().map_or(Start::Zero, Start::Bias);
    let rows = images.batch * height;
    let each = rows_per_task(images, geometry, rows);
    let down = rows.div_ceil(each);
    let across = (memory::tasks() / 2 / down.max(1)).clamp(1, matrix.count().max(1));
    // SAFETY: the tasks together write every pixel and column.
    unsafe {
        memory::filled(rows * width * n, |result| {
            memory::for_each(down * across, rows * width * k * n * 2, |index| {
                let first = index / across * each;
                let range = first..(first + each).min(rows);
                let panels = memory::part(matrix.count(), 1, across, index % across);
                with_patch(x, images, geometry, range, |patch| {
                    for index in panels.clone() {
                        level.run(Product {
                            left: patch.values,
                            walk: patch.walk,
                            groups: patch.groups,
                            panel: matrix.panel(index),
                            pitch: matrix.panel(index).width,
                            start,
                            result,
                            stride: n,
                        });
                    }
                });
            });
        })
    }
}

/// How many output rows a task takes: whole images where they are small, an even cut where not.
fn rows_per_task(images: Images, geometry: Geometry, rows: usize) -> usize {
    let height = geometry.output[0].max(1);
    let row = geometry.padded_width() * images.channels;
    let wanted = rows.div_ceil(memory::tasks()).max(1);
    let fit = (COPY / row.max(1) / geometry.stride).saturating_sub(geometry.kernel[0]).max(1);
    let rows = wanted.min(fit);
    if rows >= height { rows / height * height } else { height.div_ceil(height.div_ceil(rows)) }
}

/// The left-hand side of some output rows.
struct Patch<'a> {
    values: &'a [f32],
    walk: Walk,
    groups: &'a [Group],
}

/// Pads what the output rows `range` (counted over the whole batch) need.
fn with_patch(x: &[f32], images: Images, geometry: Geometry, range: Range<usize>, body: impl FnOnce(Patch<'_>)) {
    let [height, width] = geometry.output;
    let channels = images.channels;
    let pitch = geometry.padded_width() * channels;
    let walk = Walk {
        row: geometry.stride * channels,
        step: 1,
        length: geometry.kernel[1] * channels,
        segments: geometry.kernel[0],
        jump: pitch,
        planes: 1,
        lift: 0,
    };
    let spans: Vec<(usize, Range<usize>)> = spans(range, height).collect();
    let padded: usize = spans.iter().map(|(_, rows)| geometry.padded_rows(rows.len())).sum();
    // Groups at the end of a row may read past it: their extra rows are dropped, but must exist.
    with_scratch(padded * pitch + walk.reach(), |copy| {
        let mut groups = Vec::with_capacity(padded * width.div_ceil(GROUP));
        let mut at = 0;
        for (image, rows) in spans {
            let source = &x[image * images.pixels() * channels..][..images.pixels() * channels];
            for y in rows.clone() {
                let from = (at + (y - rows.start) * geometry.stride) * pitch;
                let to = (image * height + y) * width;
                groups.extend(row_groups(from, to, width, walk.row));
            }
            for r in 0..geometry.padded_rows(rows.len()) {
                let row = &mut copy[at * pitch..(at + 1) * pitch];
                let y = rows.start * geometry.stride + r;
                pad_row(source, images, geometry, y, 0..channels, channels, row);
                at += 1;
            }
        }
        copy[padded * pitch..].fill(0.0);
        body(Patch { values: copy, walk, groups: &groups });
    });
}

/// Cuts rows counted over the batch into rows of each image.
fn spans(range: Range<usize>, height: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let images = if range.is_empty() { 0..0 } else { range.start / height..(range.end - 1) / height + 1 };
    images.map(move |image| {
        let first = range.start.max(image * height) - image * height;
        let last = range.end.min((image + 1) * height) - image * height;
        (image, first..last)
    })
}

/// The groups of a row of `width` pixels.
fn row_groups(from: usize, to: usize, width: usize, step: usize) -> impl Iterator<Item = Group> {
    (0..width).step_by(GROUP).map(move |x| Group { from: from + x * step, to: to + x, rows: GROUP.min(width - x) })
}

/// Writes row `y` of the padded copy of some channels of an image, `room` values for each pixel.
pub(super) fn pad_row(
    image: &[f32],
    images: Images,
    geometry: Geometry,
    y: usize,
    channels: Range<usize>,
    room: usize,
    row: &mut [f32],
) {
    let Some(y) = source(y, geometry.before[0], geometry.dilation, images.height) else {
        return row.fill(0.0);
    };
    let line = &image[y * images.width * images.channels..][..images.width * images.channels];
    let count = channels.len();
    let padded = row.len() / room.max(1);
    if geometry.dilation == 1 && geometry.before[1] >= 0 {
        let left = (geometry.before[1] as usize).min(padded);
        let inside = images.width.min(padded - left);
        row[..left * room].fill(0.0);
        row[(left + inside) * room..].fill(0.0);
        let row = &mut row[left * room..(left + inside) * room];
        if count == images.channels && count == room {
            return row.copy_from_slice(&line[..inside * count]);
        }
        for (to, from) in row.chunks_exact_mut(room).zip(line.chunks_exact(images.channels)) {
            to[..count].copy_from_slice(&from[channels.clone()]);
            to[count..].fill(0.0);
        }
        return;
    }
    for (x, to) in row.chunks_exact_mut(room).enumerate() {
        match source(x, geometry.before[1], geometry.dilation, images.width) {
            Some(x) => {
                to[..count].copy_from_slice(&line[x * images.channels..][channels.clone()]);
                to[count..].fill(0.0);
            }
            None => to.fill(0.0),
        }
    }
}

/// The row or column of the image at a position of the padded copy.
fn source(position: usize, before: isize, dilation: usize, length: usize) -> Option<usize> {
    let inside = usize::try_from(position as isize - before).ok()?;
    let index = inside / dilation;
    (inside.is_multiple_of(dilation) && index < length).then_some(index)
}

/// The geometry of the input gradient: the output gradient, spread by the stride, under the flipped
/// kernel.
pub(crate) fn adjoint(geometry: Geometry, images: Images) -> Geometry {
    let [kh, kw] = geometry.kernel.map(|k| k as isize);
    let [top, left] = geometry.before;
    Geometry {
        kernel: geometry.kernel,
        stride: 1,
        dilation: geometry.stride,
        before: [kh - 1 - top, kw - 1 - left],
        output: [images.height, images.width],
    }
}
