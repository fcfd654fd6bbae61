//! The size of an image as a JPEG file: the reward that needs no network.

mod bits;
mod blocks;
mod dct;
mod factory;
mod planes;
mod reward;
mod size;
mod tables;

pub(crate) use factory::{JpegCompressibilityFactory, JpegIncompressibilityFactory};
pub use reward::{JpegCompressibility, JpegIncompressibility};
pub use size::jpeg_bytes;
