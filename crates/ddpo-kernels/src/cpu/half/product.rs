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
        gated::{self, Gate},
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
    let Source { images, geometry, .. } = pixels(x, rows, matrix);
    convolve((level, unit), x, images, geometry, matrix, bias)
}

/// `a · gelu(b)` for `[a, b] = x [rows, K] · matrix [K, 2 N] + bias`, bit by bit what the two operations give; `N` must be whole
/// panels.
pub(crate) fn multiply_gated(
    with: (Level, Unit),
    x: &[f32],
    rows: usize,
    matrix: &HalfPanels,
    bias: Option<&[f32]>,
) -> Vec<f32> {
    assert!(gated::fits(matrix.columns()), "linear: columns of a gated unit");
    let source = pixels(x, rows, matrix);
    // SAFETY: the outputs are all rows of the result, and the pairs of panels all its columns.
    unsafe {
        memory::filled(rows * matrix.columns() / 2, |result| convolve_into(with, source, matrix, bias, (result, true)))
    }
}

/// Rows as images of one pixel.
fn pixels<'a>(x: &'a [f32], rows: usize, matrix: &HalfPanels) -> Source<'a> {
    let images = Images { batch: rows, height: 1, width: 1, channels: matrix.rows() };
    let place = OutputRows::all([1, 1]);
    Source { x, images, geometry: Geometry { kernel: [1, 1], stride: 1, before: [0, 0], output: [1, 1], place } }
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
        memory::filled(length, |result| {
            convolve_into(with, Source { x, images, geometry }, matrix, bias, (result, false))
        })
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
        unsafe { convolve_into(with, source, matrix, None, (shared, false)) };
    }
    result
}

/// Writes the outputs of a convolution to their places; those of a gated unit have half of the columns.
///
/// # Safety
///
/// The result must have all places, each with these columns, and nothing else may use them meanwhile.
unsafe fn convolve_into(
    (level, unit): (Level, Unit),
    source: Source<'_>,
    matrix: &HalfPanels,
    bias: Option<&[f32]>,
    (result, is_gated): (Shared, bool),
) {
    let Source { x, images, geometry } = source;
    let [kh, kw] = geometry.kernel;
    assert_eq!(x.len(), images.len(), "conv2d: values of x");
    assert_eq!(matrix.rows(), kh * kw * images.channels, "conv2d: rows of the weight");
    assert!(bias.is_none_or(|bias| bias.len() == matrix.columns()), "conv2d: values of the bias");
    let rows = images.batch * geometry.output.iter().product::<usize>();
    let down = rows.div_ceil(ROWS);
    let each = rows.div_ceil(down.max(1)).next_multiple_of(STRIP);
    let count = if is_gated { matrix.count() / 2 } else { matrix.count() };
    let across = (memory::tasks() / 2 / down.max(1)).clamp(1, count.max(1));
    // A few times as fast as operations of `f32`, by which work is counted.
    let work = rows * matrix.rows() * matrix.columns() / 2;
    memory::for_each(down * across, work, |index| {
        let first = (index / across * each).min(rows);
        let rows = first..(first + each).min(rows);
        let panels = memory::part(count, 1, across, index % across);
        Block { source, matrix, bias, rows, panels, is_gated, result }.run(level, unit);
    });
}

/// Some rows and some panels of a product.
struct Block<'a> {
    source: Source<'a>,
    matrix: &'a HalfPanels,
    bias: Option<&'a [f32]>,
    rows: Range<usize>,
    /// Those of the values, where there is a gate.
    panels: Range<usize>,
    is_gated: bool,
    result: Shared,
}

impl Block<'_> {
    /// Panels that are multiplied for a panel of the result: itself, and behind it that of its gate.
    fn factors(&self, panel: usize) -> impl Iterator<Item = usize> {
        [panel, panel + self.matrix.count() / 2].into_iter().take(if self.is_gated { 2 } else { 1 })
    }

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
        let size = strips * SUMS;
        let group = if self.is_gated { 2 * size } else { size };
        with_scratch(kept * group, |sums| {
            memory::with_half_scratch(tiles * part * TILE, |left| {
                unit.ready(|unit| {
                    for index in 0..parts {
                        let range = index * part..depth.min((index + 1) * part);
                        let (source, rows) = (self.source, self.rows.clone());
                        level.run(Gather { source, rows, tiles: range.clone(), to: left });
                        for panel in self.panels.clone() {
                            let slot = if parts == 1 { 0 } else { panel - self.panels.start };
                            let sums = &mut sums[slot * group..][..group];
                            if index == 0 {
                                sums.fill(0.0);
                            }
                            for (factor, sums) in self.factors(panel).zip(sums.chunks_exact_mut(size)) {
                                self.add(unit, left, factor, range.clone(), sums);
                            }
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

/// Adds the bias to the sums of a panel, gates them if that is asked for, and brings them to their places.
struct Store<'a> {
    block: &'a Block<'a>,
    panel: usize,
    places: &'a [usize],
    sums: &'a [f32],
}

impl Work for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.block.is_gated {
            true => self.gated(s),
            false => self.plain(),
        }
    }
}

impl Store<'_> {
    fn plain(&self) {
        let columns = self.block.matrix.columns();
        let first = self.panel * PANEL;
        let width = PANEL.min(columns - first);
        let bias = self.bias(self.panel);
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

    #[inline(always)]
    fn gated<S: Simd>(&self, s: S) {
        let columns = self.block.matrix.columns() / 2;
        let (values, gates) = self.sums.split_at(self.sums.len() / 2);
        let [of_value, of_gate] =
            [self.panel, self.panel + self.block.matrix.count() / 2].map(|panel| self.bias(panel));
        let rows = values.as_chunks::<PANEL>().0.iter().zip(gates.as_chunks::<PANEL>().0);
        for (place, (value, gate)) in self.places.iter().zip(rows) {
            let (mut a, mut b) = ([0.0; PANEL], [0.0; PANEL]);
            add(&mut a, value, &of_value);
            add(&mut b, gate, &of_gate);
            let to = self.block.result.offset(place * columns + self.panel * PANEL);
            Gate { a: &a, b: &b, rows: 1, to, stride: columns }.run(s);
        }
    }

    /// The bias of a panel, then zeros.
    fn bias(&self, panel: usize) -> [f32; PANEL] {
        let mut bias = [0.0; PANEL];
        if let Some(all) = self.block.bias {
            let all = &all[panel * PANEL..];
            let width = PANEL.min(all.len());
            bias[..width].copy_from_slice(&all[..width]);
        }
        bias
    }
}

/// `to = a + b`, as far as `to` is long.
#[inline(always)]
fn add(to: &mut [f32], a: &[f32; PANEL], b: &[f32; PANEL]) {
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = a + b;
    }
}
