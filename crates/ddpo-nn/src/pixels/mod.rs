//! From a picture to what an image encoder takes.

mod processor;
mod resample;

pub use processor::{CropRounding, Fit, ImageProcessor};
pub use resample::resize_bicubic;
