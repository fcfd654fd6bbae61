//! The gradient of a convolution's weight.
//!
//! Row `(ky, kx, c)` of the gradient is a product over output pixels of the padded image, shifted by
//! `(ky, kx)`, with the output gradient. Every task owns some input channels and some columns, so no
//! sum is shared, and takes the output pixels in chunks that depend on nothing but the shapes.

use std::ops::Range;

use super::{
    conv::{Geometry, Images, pad_row},
    linear::with_panel,
    memory::{self, Shared, with_scratch},
    pack::PANEL,
    product::{Group, MatrixProduct, Start},
    tile::{GROUP, Walk},
};
use crate::simd::Level;

/// The gradient of the weight, `[kernel height · kernel width · channels, n]`, for the output gradient
/// `g`, `[batch, output height, output width, n]`.
pub(crate) fn weight_gradient(
    level: Level,
    x: &[f32],
    images: Images,
    geometry: Geometry,
    g: &[f32],
    n: usize,
) -> Vec<f32> {
    let [kh, kw] = geometry.kernel;
    let [height, width] = geometry.output;
    let k = kh * kw * images.channels;
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(g.len(), images.batch * height * width * n, "conv2d: values of the gradient");
    let mut result = vec![0.0; k * n];
    let shared = Shared::new(&mut result);
    let columns = n.div_ceil(PANEL);
    let down = memory::tasks().clamp(1, images.channels.div_ceil(32).max(1));
    let across = (memory::tasks() / 2 / down).clamp(1, columns.max(1));
    memory::for_each(down * across, g.len() * k * 2, |index| {
        let channels = memory::part(images.channels, GROUP, down, index / across);
        let panels = memory::part(columns, 1, across, index % across);
        for chunk in chunks(images.batch, height, width) {
            let pixels = chunk.pixels(height, width);
            let g = &g[pixels.start * n..pixels.end * n];
            with_columns(x, images, geometry, channels.clone(), &chunk, |left, walk, groups| {
                for index in panels.clone() {
                    with_panel(g, n, index, false, |panel, pitch| {
                        let (start, result, stride) = (Start::Add, shared, n);
                        level.run(MatrixProduct {
                            left,
                            walk,
                            groups,
                            panel,
                            pitch,
                            start,
                            result,
                            unit: stride,
                            stride,
                        });
                    });
                }
            });
        }
    });
    result
}

/// Some output pixels: whole images, or some rows of one.
#[derive(Clone, Debug)]
struct Chunk {
    images: Range<usize>,
    rows: Range<usize>,
}

impl Chunk {
    /// The pixels, counted over the batch.
    fn pixels(&self, height: usize, width: usize) -> Range<usize> {
        let first = self.images.start * height + self.rows.start;
        let count = self.images.len() * self.rows.len();
        first * width..(first + count) * width
    }
}

/// Output pixels that are summed in registers before they are added to the gradient, about.
const CHUNK: usize = 512;

fn chunks(batch: usize, height: usize, width: usize) -> Vec<Chunk> {
    let (height, width) = (height.max(1), width.max(1));
    let images = (CHUNK / (height * width)).max(1);
    let rows = (CHUNK.div_ceil(width)).min(height);
    let mut chunks = Vec::new();
    for first in (0..batch).step_by(images) {
        for row in (0..height).step_by(rows) {
            let images = first..(first + images).min(batch);
            chunks.push(Chunk { images, rows: row..(row + rows).min(height) });
        }
    }
    chunks
}

/// The transposed left-hand side of some channels: a row for each `(ky, kx, c)`, an element for each
/// output pixel of the chunk.
fn with_columns(
    x: &[f32],
    images: Images,
    geometry: Geometry,
    channels: Range<usize>,
    chunk: &Chunk,
    body: impl FnOnce(&[f32], Walk, &[Group]),
) {
    // A group of four channels must not reach into the next pixel, so the copy rounds them up.
    let room = channels.len().next_multiple_of(GROUP);
    let rows = geometry.padded_rows(chunk.rows.len());
    let pitch = geometry.padded_width() * room;
    let walk = Walk {
        row: 1,
        step: geometry.stride * room,
        length: geometry.output[1],
        segments: chunk.rows.len(),
        jump: geometry.stride * pitch,
        planes: chunk.images.len(),
        lift: rows * pitch,
    };
    let size = images.pixels() * images.channels;
    with_scratch(chunk.images.len() * rows * pitch, |copy| {
        for (image, plane) in chunk.images.clone().zip(copy.chunks_exact_mut((rows * pitch).max(1))) {
            let image = &x[image * size..][..size];
            for (r, row) in plane.chunks_exact_mut(pitch).enumerate() {
                let y = chunk.rows.start * geometry.stride + r;
                pad_row(image, images, geometry, y, channels.clone(), room, row);
            }
        }
        body(copy, walk, &groups(geometry, images.channels, channels, room, pitch));
    });
}

/// The groups of four channels under each position of the kernel.
fn groups(geometry: Geometry, all: usize, channels: Range<usize>, room: usize, pitch: usize) -> Vec<Group> {
    let [kh, kw] = geometry.kernel;
    let mut groups = Vec::with_capacity(kh * kw * room / GROUP);
    for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
        for c in (0..channels.len()).step_by(GROUP) {
            groups.push(Group {
                from: ky * pitch + kx * room + c,
                to: (ky * kw + kx) * all + channels.start + c,
                rows: GROUP.min(channels.len() - c),
            });
        }
    }
    groups
}
