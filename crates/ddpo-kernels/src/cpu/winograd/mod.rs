//! Winograd's convolution: a 3×3 kernel of stride 1 with fewer multiplications.
//!
//! A tile of `m × m` outputs reads `n × n` inputs, `n = m + 2`. Inputs and kernel are carried to `n · n` positions
//! where the convolution is a product of channels, position by position, and the sums are carried back (Lavin and Gray,
//! "Fast Algorithms for Convolutional Neural Networks", 2015). Per output that is `n² / m²` multiplications instead
//! of nine: 4 for `m = 2` and 2.25 for `m = 4`.
//!
//! The gradient of the kernel is the adjoint of that, with as many multiplications: inputs and gradients of outputs are carried to the
//! positions, where the gradient is a product over all tiles, and the sums are carried to the kernel.
//!
//! An output is the same sequence of operations wherever its tile lies in a task, and which form a convolution takes
//! depends on the size of an image and the channels alone. So the laws of this crate hold here too.
#![expect(clippy::needless_range_loop, reason = "a row and a column of a tile index several arrays alike")]

mod convolve;
mod gradient;
mod inputs;
mod transform;
mod weight;

pub(crate) use convolve::convolve;
pub(crate) use gradient::weight_gradient;

use super::{
    conv::{Geometry, Images},
    pack::padded,
};

/// The size of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tiles {
    /// 2×2 outputs of 4×4 inputs.
    Two,
    /// 4×4 outputs of 6×6 inputs.
    Four,
}

/// Values of a carried kernel for each output pixel of an image, counted as at least [`FEW`], beyond which holding and
/// reading it costs more than it saves: it is up to four times as large as the kernel.
const KERNEL: usize = 1 << 14;
/// Pixels of a small image.
const FEW: usize = 256;

impl Tiles {
    /// Outputs in a row of a tile.
    fn outputs(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }

    /// Inputs in a row of a tile.
    fn inputs(self) -> usize {
        self.outputs() + 2
    }

    /// Positions of a tile.
    fn positions(self) -> usize {
        self.inputs().pow(2)
    }

    /// Tiles down and across.
    fn count(self, output: [usize; 2]) -> [usize; 2] {
        output.map(|length| length.div_ceil(self.outputs()))
    }

    /// The form in which a convolution with `columns` output channels costs least, if one costs less than the direct
    /// one. The number of images has no part in it.
    pub(crate) fn best(images: Images, geometry: Geometry, columns: usize) -> Option<Self> {
        if geometry.kernel != [3, 3] || geometry.stride != 1 || geometry.place.step != 1 {
            return None;
        }
        let pixels: usize = geometry.output.iter().product();
        let direct = 9 * pixels * images.channels * padded(columns);
        let candidates =
            [Self::Four, Self::Two].map(|tiles| (tiles.cost(images.channels, geometry.output, columns), tiles));
        let (cost, best) =
            candidates.into_iter().flat_map(|(cost, tiles)| Some((cost?, tiles))).min_by_key(|(cost, _)| *cost)?;
        // A direct convolution needs no second pass over memory, so a small saving is none.
        (cost * 5 < direct * 4).then_some(best)
    }

    /// Operations for an image, those of moving values to and from positions included.
    fn cost(self, channels: usize, output: [usize; 2], columns: usize) -> Option<usize> {
        let [down, across] = self.count(output);
        let kernel = self.positions() * channels * padded(columns);
        // For each value at a position: its load, its store and about four operations between.
        let moved = 6 * self.positions() * (padded(channels) + padded(columns));
        let pixels: usize = output.iter().product();
        (kernel <= KERNEL * pixels.max(FEW)).then_some(down * across * (kernel + moved))
    }
}
