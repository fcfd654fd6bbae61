//! Products in bf16: eight bits of a value's fraction instead of twenty-four, in half the memory, summed in `f32`.
//!
//! A weight is held in bf16, in the order the units read it ([`HalfPanels`]); the left-hand side is rounded to bf16 while it
//! is brought into that order. A convolution is a product whose rows are gathered pixel by pixel, a linear layer a convolution of
//! images of one pixel, so both are [`convolve`]. Where no unit outruns Winograd's convolutions in `f32`, those take
//! the weight widened, and round nothing.
//!
//! # What an element of the result is
//!
//! Every element is a sequence of operations in one order, whatever the batch and the number of threads. Which one depends
//! on the [`Unit`], that is on the processor alone:
//!
//! - **AMX and widened**: for each 32 values of `K` two sums from zero, of the products at even and at odd places, each by
//!   multiply-adds; the even sum plus the odd one is added to what came before. That is how `tdpbf16ps` is defined, and where it
//!   is absent vectors of `f32` do the same: the bits are equal.
//! - **`vdpbf16ps`**: for each two values of `K`, the product of the second and then that of the first are added.
//!
//! The bias is added last. The two instructions take subnormal values for zero, and round to the nearest whatever the thread's mode;
//! beyond that an element's error is that of rounding both factors, at most `2⁻⁸` of the sum of the products' magnitudes.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod dot;
mod left;
mod panels;
mod product;
mod step;
mod unit;
mod widened;

#[cfg(test)]
mod tests;

pub(crate) use panels::HalfPanels;
pub(super) use panels::place;
pub(crate) use product::{convolve, input_gradient, multiply, multiply_gated};
pub(super) use step::Step;
pub(super) use unit::Ready;
pub(crate) use unit::Unit;
#[cfg(test)]
pub(crate) use unit::forced;

/// Rows and columns of a tile.
pub(super) const SIDE: usize = 16;
/// Values of `K` in a tile.
pub(super) const DEPTH: usize = 32;
/// Values of a tile of either factor.
pub(super) const TILE: usize = SIDE * DEPTH;
/// Columns of a panel, which is two tiles wide.
pub(super) const PANEL: usize = 2 * SIDE;
/// Rows of a strip, which is two tiles high.
pub(super) const STRIP: usize = 2 * SIDE;
/// Sums of a strip and a panel, row by row.
pub(super) const SUMS: usize = STRIP * PANEL;
