//! The input gradient of a convolution: convolutions of the output gradient.
//!
//! With stride `s` the pixels of the input fall into `s · s` phases, each reached by its own positions
//! of the kernel; a phase is a convolution of stride 1 under those positions in reverse.

use super::{
    conv::{Geometry, Images, OutputRows, convolve_into},
    memory::Shared,
    pack::Panels,
    product::Start,
};
use crate::simd::Level;

/// One phase: a convolution, and the positions of the original kernel it uses.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub geometry: Geometry,
    /// Positions in the original kernel, in the order of this phase's own.
    pub taps: Vec<usize>,
}

/// The phases of the input gradient of a convolution over `images`; one for stride 1.
pub(crate) fn phases(geometry: Geometry, images: Images) -> Vec<Phase> {
    let step = geometry.stride;
    let size = [images.height, images.width];
    let mut phases = Vec::with_capacity(step * step);
    for (py, px) in (0..step).flat_map(|py| (0..step).map(move |px| (py, px))) {
        let [down, across] = [(0, py), (1, px)]
            .map(|(axis, phase)| Axis::new(geometry.kernel[axis], step, geometry.before[axis], phase, size[axis]));
        let position = |ky: &usize, kx: &usize| ky * geometry.kernel[1] + kx;
        let row = |ky| across.taps.iter().map(move |kx| position(ky, kx));
        phases.push(Phase {
            taps: down.taps.iter().flat_map(row).collect(),
            geometry: Geometry {
                kernel: [down.taps.len(), across.taps.len()],
                stride: 1,
                before: [down.before, across.before],
                output: [down.count, across.count],
                place: OutputRows { step, origin: [py, px], size },
            },
        });
    }
    phases
}

/// A phase in one direction.
struct Axis {
    taps: Vec<usize>,
    before: isize,
    count: usize,
}

impl Axis {
    /// Pixel `step · i + phase` receives from output `(step · i + phase + before - tap) / step`, for
    /// the taps that divide.
    fn new(kernel: usize, step: usize, before: isize, phase: usize, length: usize) -> Self {
        let shift = phase as isize + before;
        let first = shift.rem_euclid(step as isize) as usize;
        let taps: Vec<usize> = (first..kernel).step_by(step).rev().collect();
        let reach = (shift - first as isize) / step as isize;
        let before = taps.len() as isize - 1 - reach;
        Self { taps, before, count: length.saturating_sub(phase).div_ceil(step) }
    }
}

/// The input gradient `[batch, height, width, in]` for the output gradient `g`, whose shape is
/// `outputs`; `matrices` are the weight packed for each phase.
pub(crate) fn input_gradient(
    level: Level,
    g: &[f32],
    outputs: Images,
    images: Images,
    phases: &[Phase],
    matrices: &[Panels],
) -> Vec<f32> {
    assert_eq!(phases.len(), matrices.len(), "conv2d: phases of the input gradient");
    let mut result = vec![0.0; images.len()];
    let shared = Shared::new(&mut result);
    for (phase, matrix) in phases.iter().zip(matrices) {
        if phase.taps.is_empty() {
            continue;
        }
        assert_eq!(matrix.columns(), images.channels, "conv2d: columns of the adjoint");
        // SAFETY: the places of a phase are pixels of the images, which the result holds; the phases
        // run one after the other.
        unsafe {
            convolve_into(level, g, outputs, phase.geometry, matrix, Start::Zero, shared);
        }
    }
    result
}
