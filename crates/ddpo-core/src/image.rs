//! A picture as any encoder of pictures would take it.

use crate::{Result, error::check_count};

/// An 8-bit RGB picture, rows from the top, three bytes a pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// A picture of these pixels, `height * width * 3` bytes.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if there are more or fewer bytes.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        check_count("make an image", "bytes", pixels.len(), width as usize * height as usize * 3)?;
        Ok(Self { width, height, pixels })
    }

    /// A picture of values in `[0, 1]`, `[height, width, 3]`, rounded to the nearest byte as diffusers does; what lies outside
    /// is clamped.
    ///
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if there are more or fewer values.
    pub fn from_unit(width: u32, height: u32, values: &[f32]) -> Result<Self> {
        let to_byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
        Self::new(width, height, values.iter().map(to_byte).collect())
    }

    /// The width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_values_round_to_the_nearest_byte() {
        let image = RgbImage::from_unit(1, 2, &[0.0, 1.0, 0.5, -1.0, 2.0, 0.25]).unwrap();
        assert_eq!(image.pixels(), &[0, 255, 128, 0, 255, 64]);
    }

    #[test]
    fn a_wrong_number_of_bytes_is_refused() {
        let error = RgbImage::new(2, 2, vec![0; 11]).unwrap_err();
        assert_eq!(error.to_string(), "make an image: 11 bytes found, 12 wanted");
    }
}
