//! Convolution as a product whose left-hand side is read from a padded copy of a few image rows.
//!
//! A kernel row covers `kernel width · channels` consecutive values of the padded copy, so a pixel's
//! left-hand row is one segment per kernel row and is never gathered. Each task pads only the rows it
//! needs, in a buffer that stays in its core's cache.

use std::ops::Range;

use super::{
    memory::{self, HEAVY, NEAR, Shared, with_scratch},
    pack::Panels,
    product::{Group, MatrixProduct, Start, pad_bias},
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
    /// Zero rows above and zero columns left of the images, or pixels to leave out if negative; what
    /// lies below and right follows from the number of outputs.
    pub before: [isize; 2],
    /// Number of outputs down and across.
    pub output: [usize; 2],
    /// Where the outputs go.
    pub place: OutputRows,
}

/// Output `(y, x)` is pixel `(origin + step · y, origin + step · x)` of the resulting image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutputRows {
    pub step: usize,
    pub origin: [usize; 2],
    /// Height and width of the resulting image.
    pub size: [usize; 2],
}

impl OutputRows {
    /// Every pixel of an image of this size.
    pub(crate) fn all(size: [usize; 2]) -> Self {
        Self { step: 1, origin: [0, 0], size }
    }

    /// The first pixel of a row of outputs, counted over the batch.
    pub(super) fn row(&self, image: usize, y: usize) -> usize {
        let [height, width] = self.size;
        (image * height + self.origin[0] + y * self.step) * width + self.origin[1]
    }
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

/// A convolution's result, `[batch, height, width, columns of the matrix]`.
pub(crate) fn convolve(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    matrix: &Panels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let [height, width] = geometry.output;
    let padded = bias.map(pad_bias);
    let start = padded.as_deref().map_or(Start::Zero, Start::Bias);
    // SAFETY: the outputs are all pixels of the result.
    unsafe {
        memory::filled(images.batch * height * width * matrix.columns(), |result| {
            convolve_into(level, x, images, geometry, matrix, start, result);
        })
    }
}

/// Writes the outputs of a convolution to their places.
///
/// # Safety
///
/// The result must have all places, `batch · height · width · columns of the matrix` values, and
/// nothing else may use them meanwhile.
pub(super) unsafe fn convolve_into(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    matrix: &Panels,
    start: Start<'_>,
    result: Shared,
) {
    let Geometry { kernel: [kh, kw], output: [height, width], place, .. } = geometry;
    let (k, n) = (matrix.rows(), matrix.columns());
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(k, kh * kw * images.channels, "conv2d: rows of the weight");
    let rows = images.batch * height;
    let each = rows_per_task(images, geometry, rows, matrix);
    let down = rows.div_ceil(each);
    let across = (memory::tasks() / 2 / down.max(1)).clamp(1, matrix.count().max(1));
    memory::for_each(down * across, rows * width * k * n * 2, |index| {
        let first = index / across * each;
        let range = first..(first + each).min(rows);
        let panels = memory::part(matrix.count(), 1, across, index % across);
        with_patch(x, images, geometry, range, |patch| {
            for (part, Part { from, walk, rows }) in parts(patch.walk, geometry, images, k * n).into_iter().enumerate()
            {
                for index in panels.clone() {
                    let panel = matrix.panel(index);
                    level.run(MatrixProduct {
                        left: &patch.values[from..],
                        walk,
                        groups: patch.groups,
                        panel: panel.part(rows.clone()),
                        pitch: panel.width,
                        start: start.of_part(part),
                        result,
                        unit: n,
                        stride: place.step * n,
                    });
                }
            }
        });
    });
}

/// A part of `K`: where its left-hand side begins, how it lies there, and its rows of the matrix.
struct Part {
    from: usize,
    walk: Walk,
    rows: Range<usize>,
}

/// All of `K` at once, or under a heavy matrix position by position of the kernel.
fn parts(walk: Walk, geometry: Geometry, images: Images, matrix: usize) -> Vec<Part> {
    let [down, across] = geometry.kernel;
    if matrix <= HEAVY {
        return vec![Part { from: 0, walk, rows: 0..walk.depth() }];
    }
    let channels = images.channels;
    let part = |(y, x): (usize, usize)| {
        let first = (y * across + x) * channels;
        let walk = Walk { length: channels, segments: 1, ..walk };
        Part { from: y * walk.jump + x * channels, walk, rows: first..first + channels }
    };
    (0..down).flat_map(|y| (0..across).map(move |x| (y, x))).map(part).collect()
}

/// How many output rows a task takes: whole images where they are small, an even cut where not.
fn rows_per_task(images: Images, geometry: Geometry, rows: usize, matrix: &Panels) -> usize {
    let height = geometry.output[0].max(1);
    let (wanted, fit) = if matrix.rows() * matrix.columns() > HEAVY {
        // Enough panels to go round leave all rows to each task.
        let down = memory::tasks().div_ceil(matrix.count().max(1));
        (rows.div_ceil(down), NEAR / (geometry.output[1] * images.channels).max(1))
    } else {
        let row = geometry.padded_width() * images.channels;
        (rows.div_ceil(memory::tasks()), (COPY / row.max(1) / geometry.stride).saturating_sub(geometry.kernel[0]))
    };
    let rows = wanted.min(fit).max(1);
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
                let to = geometry.place.row(image, y);
                groups.extend(Group::rows(from, to, width, walk.row, geometry.place.step));
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
    let Some(y) = source(y, geometry.before[0], images.height) else {
        return row.fill(0.0);
    };
    let line = &image[y * images.width * images.channels..][..images.width * images.channels];
    let count = channels.len();
    let padded = row.len() / room.max(1);
    let left = usize::try_from(geometry.before[1]).unwrap_or(0).min(padded);
    let skipped = usize::try_from(-geometry.before[1]).unwrap_or(0).min(images.width);
    let inside = (images.width - skipped).min(padded - left);
    row[..left * room].fill(0.0);
    row[(left + inside) * room..].fill(0.0);
    let row = &mut row[left * room..(left + inside) * room];
    let line = &line[skipped * images.channels..][..inside * images.channels];
    if count == images.channels && count == room {
        return row.copy_from_slice(line);
    }
    let pixels = row.chunks_exact_mut(room.max(1)).zip(line.chunks_exact(images.channels.max(1)));
    for (to, from) in pixels {
        to[..count].copy_from_slice(&from[channels.clone()]);
        to[count..].fill(0.0);
    }
}

/// The row of the image at a position of the padded copy.
fn source(position: usize, before: isize, length: usize) -> Option<usize> {
    let inside = usize::try_from(position as isize - before).ok()?;
    (inside < length).then_some(inside)
}
