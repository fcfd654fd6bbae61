//! Pictures as image encoders take them.

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_core::RgbImage;
use ddpo_nn::ImageProcessor;
use rayon::prelude::*;

/// The pixels of pictures, `[B, size, size, 3]`.
///
/// # Errors
///
/// If a picture has no pixels.
pub(super) fn pixels(processor: &ImageProcessor, images: &[RgbImage], device: &Device) -> ddpo_nn::Result<Tensor<4>> {
    let one = |image: &RgbImage| processor.pixels(image.pixels(), image.width() as usize, image.height() as usize);
    let values: Vec<Vec<f32>> = images.par_iter().map(one).collect::<ddpo_nn::Result<_>>()?;
    let size = processor.size();
    Ok(Tensor::from_data(TensorData::new(values.concat(), [images.len(), size, size, 3]), device))
}

/// The rows of a matrix.
///
/// # Errors
///
/// If they cannot be read from the device.
pub(super) fn rows(matrix: Tensor<2>) -> ddpo_nn::Result<Vec<Vec<f32>>> {
    let [_, width] = matrix.dims();
    let values = ddpo_nn::read_back("features", matrix.flatten::<1>(0, 1))?;
    Ok(values.chunks(width.max(1)).map(<[f32]>::to_vec).collect())
}

/// A vector of length 1 in the same direction.
pub(super) fn unit(mut vector: Vec<f32>) -> Vec<f32> {
    let norm = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
    vector
}
