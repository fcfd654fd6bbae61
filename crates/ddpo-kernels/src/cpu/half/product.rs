//! A convolution as a product of tiles: blocks of rows, of which a part of `K` stays in the core's second cache while the
//! panels go by.

use std::ops::Range;

use super::{
    HalfPanels, PANEL, SIDE, STRIP, SUMS, TILE, Unit,
    left::{Gather, Source},
    step::Step,
    unit::Ready,
};
use crate::{
    cpu::{
        conv::{Geometry, Images, OutputRows},
        conv_input::Phase,
        memory::{self, Shared, with_scratch},
    },
    simd::{Level, Simd, Work},
};

/// Rows of a block.
const ROWS: usize = 256;
/// Values of a block's left-hand side that stay in the second cache.
const LEFT: usize = 1 << 19;
/// Tiles of `K` that a panel goes down at a time: they stay in the first cache while the strips of a block go by.
const STEPS: usize = 16;

/// `x [rows, K] · matrix [K, N] + bias`.
pub(crate) fn multiply(
    (level, unit): (Level, Unit),
    x: &[f32],
    rows: usize,
    matrix: &HalfPanels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let images = Images { batch: rows, height: 1, width: 1, channels: matrix.rows() };
    let place = OutputRows::all([1, 1]);
    let geometry = Geometry { kernel: [1, 1], stride: 1, before: [0, 0], output: [1, 1], place };
    convolve((level, unit), x, images, geometry, matrix, bias)
}

/// A convolution's result, `[batch, height, width, columns of the matrix]`.
pub(crate) fn convolve(
    with: (Level, Unit),
    x: &[f32],
    images: Images,
    geometry: Geometry,
    matrix: &HalfPanels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let length = images.batch * geometry.output.iter().product::<usize>() * matrix.columns();
    // SAFETY: the outputs are all pixels of the result, and the panels all their columns.
    unsafe {
        memory::filled(length, |result| convolve_into(with, Source { x, images, geometry }, matrix, bias, result))
    }
}

/// The input gradient of a convolution over `images`, `[batch, height, width, in]`, for the output gradient `g`, whose shape is
/// `outputs`; `matrices` are the weight packed for each phase.
pub(crate) fn input_gradient(
    with: (Level, Unit),
    g: &[f32],
    outputs: Images,
    images: Images,
    phases: &[Phase],
    matrices: &[HalfPanels],
) -> Vec<f32> {
    assert_eq!(phases.len(), matrices.len(), "conv2d: phases of the input gradient");
    let mut result = vec![0.0; images.len()];
    let shared = Shared::new(&mut result);
    for (phase, matrix) in phases.iter().zip(matrices).filter(|(phase, _)| !phase.taps.is_empty()) {
        assert_eq!(matrix.columns(), images.channels, "conv2d: columns of the adjoint");
        let source = Source { x: g, images: outputs, geometry: phase.geometry };
        // SAFETY: the places of a phase are pixels of the images, which the result holds; the phases run one after the other.
        unsafe { convolve_into(with, source, matrix, None, shared) };
    }
    result
}

/// Writes the outputs of a convolution to their places.
///
/// # Safety
///
/// The result must have all places, each with the columns of the matrix, and nothing else may use them meanwhile.
unsafe fn convolve_into(
    (level, unit): (Level, Unit),
    source: Source<'_>,
    matrix: &HalfPanels,
    bias: Option<&[f32]>,
    result: Shared,
) {
    let Source { x, images, geometry } = source;
    let [kh, kw] = geometry.kernel;
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(matrix.rows(), kh * kw * images.channels, "conv2d: rows of the weight");
    assert!(bias.is_none_or(|bias| bias.len() == matrix.columns()), "conv2d: values of the bias");
    let rows = images.batch * geometry.output.iter().product::<usize>();
    let down = rows.div_ceil(ROWS);
    let each = rows.div_ceil(down.max(1)).next_multiple_of(STRIP);
    let across = (memory::tasks() / 2 / down.max(1)).clamp(1, matrix.count().max(1));
    // A few times as fast as operations of `f32`, by which work is counted.
    let work = rows * matrix.rows() * matrix.columns() / 2;
    memory::for_each(down * across, work, |index| {
        let first = (index / across * each).min(rows);
        let rows = first..(first + each).min(rows);
        let panels = memory::part(matrix.count(), 1, across, index % across);
        Block { source, matrix, bias, rows, panels, result }.run(level, unit);
    });
}

/// Some rows and some panels of a product.
struct Block<'a> {
    source: Source<'a>,
    matrix: &'a HalfPanels,
    bias: Option<&'a [f32]>,
    rows: Range<usize>,
    panels: Range<usize>,
    result: Shared,
}

impl Block<'_> {
    fn run(&self, level: Level, unit: Unit) {
        let (tiles, strips) = (self.rows.len().div_ceil(SIDE), self.rows.len().div_ceil(STRIP));
        if tiles == 0 {
            return;
        }
        let depth = self.matrix.depth();
        let part = (LEFT / (tiles * TILE)).max(STEPS).min(depth).max(1);
        let parts = depth.div_ceil(part).max(1);
        let kept = if parts == 1 { 1 } else { self.panels.len() };
        let places: Vec<usize> = self.rows.clone().map(|row| self.source.place(row)).collect();
        with_scratch(strips * kept * SUMS, |sums| {
            memory::with_half_scratch(tiles * part * TILE, |left| {
                unit.ready(|unit| {
                    for index in 0..parts {
                        let range = index * part..depth.min((index + 1) * part);
                        let (source, rows) = (self.source, self.rows.clone());
                        level.run(Gather { source, rows, tiles: range.clone(), to: left });
                        for panel in self.panels.clone() {
                            let slot = if parts == 1 { 0 } else { panel - self.panels.start };
                            let sums = &mut sums[slot * strips * SUMS..][..strips * SUMS];
                            if index == 0 {
                                sums.fill(0.0);
                            }
                            self.add(unit, left, panel, range.clone(), sums);
                            if index + 1 == parts {
                                level.run(Store { block: self, panel, places: &places, sums });
                            }
                        }
                    }
                });
            });
        });
    }

    /// Adds the product of the tiles `range` of `K` to the sums of a panel.
    fn add(&self, unit: Ready, left: &[u16], panel: usize, range: Range<usize>, sums: &mut [f32]) {
        let right = &self.matrix.panel(panel)[range.start * 2 * TILE..range.end * 2 * TILE];
        let size = range.len() * TILE;
        for step in (0..range.len()).step_by(STEPS) {
            let step = step..range.len().min(step + STEPS);
            let right = &right[step.start * 2 * TILE..step.end * 2 * TILE];
            let values = step.start * TILE..step.end * TILE;
            let strips = left[..self.rows.len().div_ceil(SIDE) * size].chunks(2 * size);
            for (strip, sums) in strips.zip(sums.as_chunks_mut::<SUMS>().0) {
                match strip.split_at(size.min(strip.len())) {
                    (upper, []) => unit.accumulate(Step { left: &[&upper[values.clone()]], right, sums }),
                    (upper, lower) => {
                        let left = [&upper[values.clone()], &lower[values.clone()]];
                        unit.accumulate(Step { left: &left, right, sums });
                    }
                }
            }
        }
    }
}

/// Adds the bias to the sums of a panel and brings them to their places.
struct Store<'a> {
    block: &'a Block<'a>,
    panel: usize,
    places: &'a [usize],
    sums: &'a [f32],
}

impl Work for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let columns = self.block.matrix.columns();
        let first = self.panel * PANEL;
        let width = PANEL.min(columns - first);
        let mut bias = [0.0; PANEL];
        if let Some(all) = self.block.bias {
            bias[..width].copy_from_slice(&all[first..first + width]);
        }
        for (place, sums) in self.places.iter().zip(self.sums.as_chunks::<PANEL>().0) {
            let to = place * columns + first;
            assert!(to + width <= self.block.result.len());
            // SAFETY: the range was seen to be within the result; rows and panels are each one task's.
            let to = unsafe { self.block.result.slice(to..to + width) };
            match to.as_mut_array::<PANEL>() {
                Some(to) => add(to, sums, &bias),
                None => add(to, sums, &bias),
            }
        }
    }
}

/// `to = a + b`, as far as `to` is long.
#[inline(always)]
fn add(to: &mut [f32], a: &[f32; PANEL], b: &[f32; PANEL]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}
