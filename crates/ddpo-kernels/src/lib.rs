//! The tensor operations a diffusion UNet spends its time in, with a hand-written CPU path.
//!
//! Every function here works on any Burn device and under autodiff. On the `flex` device with
//! `f32` values it runs this crate's own kernels (AVX-512, AVX2 or portable, chosen at run time), and where a frozen
//! weight is in bf16 its products are in bf16 (AMX, AVX512-BF16 or widened), summed in `f32`;
//! everywhere else it is composed of Burn's own operations, in half precision where a weight or an input is.
//!
//! Three laws hold on the CPU path:
//!
//! - **Batch invariance.** A row (an image, a token) gets the same bits whatever else is in the
//!   batch, because each output element is always the same sequence of operations.
//! - **Thread independence.** The number of threads never changes a bit, gradients included.
//! - **No work for gradients nobody reads.** Gradients are computed for tracked inputs only.
//!
//! Images are channels-last, `[batch, height, width, channels]`, and matrices are `[in, out]`.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod activation;
mod allocator;
mod attention;
mod composed;
mod conv;
mod cpu;
mod deferred;
mod format;
mod graph;
mod linear;
mod norm;
mod ops;
mod options;
mod resample;
mod simd;
mod weight;

pub use activation::{geglu, gelu, quick_gelu, silu};
pub use allocator::KeepingAllocator;
pub use attention::{attention, distinct, half_attention, shared_attention};
pub use conv::conv2d;
pub use deferred::deferred;
pub use format::cast;
pub use linear::{linear, linear_geglu};
pub use norm::{group_norm, layer_norm};
pub use options::{Activation, Conv2dOptions, Mask, Padding};
pub use resample::upsample_nearest_2x;
#[doc(hidden)]
pub use simd::multiply_adds;
pub use weight::Weight;

#[cfg(test)]
mod tests;
