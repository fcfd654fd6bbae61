//! The two rewards of the JPEG size.

use ddpo_core::{Reward, RewardBatch, RgbImage};
use rayon::prelude::*;

use super::jpeg_bytes;
use crate::Error;

/// The JPEG size in kB (1000 bytes) at quality 95: detail and noise are rewarded.
///
/// ```
/// use ddpo_core::{Reward, RewardBatch, RgbImage};
/// use ddpo_rewards::JpegIncompressibility;
///
/// let images = [RgbImage::new(64, 64, vec![128; 64 * 64 * 3])?];
/// let prompts = ["cat".to_owned()];
/// let batch = RewardBatch::new(&images, &prompts);
/// assert_eq!(JpegIncompressibility.score(&batch)?, [0.689]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct JpegIncompressibility;

/// The negative of [`JpegIncompressibility`]: smooth, plain pictures are rewarded.
#[derive(Clone, Copy, Debug, Default)]
pub struct JpegCompressibility;

impl Reward for JpegIncompressibility {
    fn name(&self) -> &str {
        "jpeg-incompressibility"
    }

    fn unit(&self) -> Option<&str> {
        Some("kB")
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        kilobytes(batch).map_err(|error| ddpo_core::Error::reward(self.name(), error))
    }
}

impl Reward for JpegCompressibility {
    fn name(&self) -> &str {
        "jpeg-compressibility"
    }

    fn unit(&self) -> Option<&str> {
        Some("kB")
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let sizes = kilobytes(batch).map_err(|error| ddpo_core::Error::reward(self.name(), error))?;
        Ok(sizes.into_iter().map(|size| -size).collect())
    }
}

/// The sizes in the order of the images, whatever the number of threads.
fn kilobytes(batch: &RewardBatch<'_>) -> Result<Vec<f32>, Error> {
    batch.images.par_iter().enumerate().map(|(sample, image)| image_kilobytes(sample, image)).collect()
}

fn image_kilobytes(sample: usize, image: &RgbImage) -> Result<f32, Error> {
    let (width, height) = (image.width(), image.height());
    let bytes = jpeg_bytes(width as usize, height as usize, image.pixels());
    bytes.map(|bytes| bytes as f32 / 1000.0).ok_or(Error::JpegSides { sample, width, height })
}
