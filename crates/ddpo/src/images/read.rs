//! Pictures in: PNG, JPEG, WebP, GIF and BMP files as Pillow and diffusers' `load_image` read them.

use std::io::Cursor;
use std::path::Path;

use ddpo_core::RgbImage;
use image::error::{DecodingError, ImageFormatHint};
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, ImageResult};

use crate::error::{Error, Result};

/// Reads a picture as 8-bit RGB: of an animation the first frame, turned as the camera says (EXIF orientation), with what is
/// transparent in the colour it has all the same.
///
/// What has 16 bits becomes 8 as in Pillow: of colours the higher byte is kept, of grey values those above 255 are white.
///
/// # Errors
///
/// Fails when the file cannot be read, is none of these kinds, is empty or cut off.
pub fn read_image(path: &Path) -> Result<RgbImage> {
    let bytes = ddpo_train::fs::read(path)?;
    let failed = |source| Error::Picture { operation: "decode", path: path.to_owned(), source };
    to_rgb(decode(&bytes).map_err(failed)?)
}

/// Reads a picture with its transparency: width, height, and 8-bit RGBA, row-major.
///
/// # Errors
///
/// As [`read_image`].
pub(crate) fn read_cutout(path: &Path) -> Result<(usize, usize, Vec<u8>)> {
    let bytes = ddpo_train::fs::read(path)?;
    let failed = |source| Error::Picture { operation: "decode", path: path.to_owned(), source };
    let picture = decode(&bytes).map_err(failed)?.into_rgba8();
    Ok((picture.width() as usize, picture.height() as usize, picture.into_raw()))
}

fn decode(bytes: &[u8]) -> ImageResult<DynamicImage> {
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if bytes.is_empty() {
        return Err(refused(None, "the file is empty"));
    }
    // The decoder fills what is missing with grey.
    if reader.format() == Some(ImageFormat::Jpeg) && !has_end(bytes) {
        return Err(refused(reader.format(), "the file is cut off: it has no end-of-image marker"));
    }
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn refused(format: Option<ImageFormat>, reason: &str) -> ImageError {
    let hint = format.map_or(ImageFormatHint::Unknown, ImageFormatHint::Exact);
    ImageError::Decoding(DecodingError::new(hint, reason))
}

/// Whether the markers of a JPEG lead to its end. What comes behind that, such as a camera's second picture, is nobody's matter.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        match marker {
            // The end of the image.
            0xd9 => return true,
            // A fill byte.
            0xff => at += 1,
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => {
                let Some(&[high, low]) = bytes.get(at + 2..at + 4) else { return false };
                at += 2 + usize::from(u16::from_be_bytes([high, low]));
                // A start of scan is followed by coded data.
                if marker == 0xda {
                    at = next_marker(bytes, at);
                }
            }
        }
    }
    false
}

/// Where coded data ends: at the next marker which is neither a stuffed byte nor a restart.
fn next_marker(bytes: &[u8], start: usize) -> usize {
    let is_marker = |pair: &[u8]| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xd0..=0xd7);
    let rest = bytes.get(start..).unwrap_or_default();
    rest.windows(2).position(is_marker).map_or(bytes.len(), |offset| start + offset)
}

fn to_rgb(picture: DynamicImage) -> Result<RgbImage> {
    let (width, height) = (picture.width(), picture.height());
    let high = |values: &[u16]| values.iter().map(|value| (value >> 8) as u8).collect::<Vec<u8>>();
    let grey = |value: u8| [value; 3];
    let pixels = match picture {
        DynamicImage::ImageLuma16(picture) => picture.iter().flat_map(|&value| grey(value.min(255) as u8)).collect(),
        DynamicImage::ImageLumaA16(picture) => picture.pixels().flat_map(|pixel| grey((pixel[0] >> 8) as u8)).collect(),
        DynamicImage::ImageRgb16(picture) => high(&picture),
        DynamicImage::ImageRgba16(picture) => picture.pixels().flat_map(|pixel| high(&pixel.0[..3])).collect(),
        other => other.into_rgb8().into_raw(),
    };
    Ok(RgbImage::new(width, height, pixels)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_picture_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.png");
        std::fs::write(&path, "not a picture").unwrap();
        let error = read_image(&path).unwrap_err().to_string();
        assert!(error.starts_with("cannot decode the image") && error.ends_with("notes.png"), "{error}");
    }

    #[test]
    fn markers_lead_to_the_end() {
        let scan = [0xff, 0xd8, 0xff, 0xda, 0, 4, 1, 2, 7, 0xff, 0, 0xff, 0xd3, 9];
        assert!(!has_end(&scan));
        assert!(has_end(&[&scan[..], &[0xff, 0xff, 0xd9]].concat()));
        // A second scan, and something behind the end.
        let second = [0xff, 0xda, 0, 2, 5, 0xff, 0xd9, 3, 4];
        assert!(has_end(&[&scan[..], &second].concat()));
        for length in 0..scan.len() {
            assert!(!has_end(&scan[..length]));
        }
    }
}
