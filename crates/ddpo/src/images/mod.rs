//! Pictures in, PNG files out, and grids of pictures.

mod read;

use std::io::Cursor;
use std::path::Path;

use ddpo_core::RgbImage;
use image::{ExtendedColorType, ImageFormat};

use crate::error::{Error, Result};

pub(crate) use read::read_cutout;
pub use read::read_image;

/// White, between the pictures of a grid.
const PAPER: u8 = 255;

/// The gap between the pictures of a grid, in pixels.
const GAP: usize = 2;

/// Reads a text file: UTF-8, or UTF-16 with the mark that Windows' programs put before it.
///
/// # Errors
///
/// Fails when the file cannot be read or is neither.
pub fn read_text(path: &Path) -> Result<String> {
    let bytes = ddpo_train::fs::read(path)?;
    // No UTF-8 begins with either mark, which Windows' programs write.
    let utf_16 = match bytes.first_chunk() {
        Some([0xff, 0xfe]) => Some(u16::from_le_bytes as fn([u8; 2]) -> u16),
        Some([0xfe, 0xff]) => Some(u16::from_be_bytes as fn([u8; 2]) -> u16),
        _ => None,
    };
    if let Some(unit) = utf_16 {
        let (units, rest) = bytes[2..].as_chunks::<2>();
        let units: Vec<u16> = units.iter().map(|pair| unit(*pair)).collect();
        return match String::from_utf16(&units) {
            Ok(text) if rest.is_empty() => Ok(text),
            _ => Err(Error::NotText { path: path.to_owned(), offset: 0 }),
        };
    }
    String::from_utf8(bytes)
        .map_err(|error| Error::NotText { path: path.to_owned(), offset: error.utf8_error().valid_up_to() })
}

/// Writes a text file, whole or not at all.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
    Ok(ddpo_train::fs::write_atomic(path, text.as_bytes())?)
}

/// Writes a PNG file.
///
/// # Errors
///
/// Fails when the picture is empty or the file cannot be written.
pub fn write_png(path: &Path, picture: &RgbImage) -> Result<()> {
    let bytes =
        encode_png(picture).map_err(|source| Error::Picture { operation: "encode", path: path.to_owned(), source })?;
    Ok(ddpo_train::fs::write_atomic(path, &bytes)?)
}

/// The pictures in rows of `columns`, with a white gap between them. All pictures have the size of the first.
///
/// # Errors
///
/// Fails when a picture has another size.
pub fn grid(pictures: &[RgbImage], columns: usize) -> Result<RgbImage> {
    let Some(first) = pictures.first() else {
        return Ok(RgbImage::new(0, 0, Vec::new())?);
    };
    let (cell_width, cell_height) = (first.width() as usize, first.height() as usize);
    let columns = columns.clamp(1, pictures.len());
    let rows = pictures.len().div_ceil(columns);
    let width = columns * (cell_width + GAP) - GAP;
    let height = rows * (cell_height + GAP) - GAP;
    let mut pixels = vec![PAPER; width * height * 3];
    for (i, picture) in pictures.iter().enumerate() {
        if (picture.width(), picture.height()) != (first.width(), first.height()) {
            return Err(Error::GridSize {
                found: [picture.width(), picture.height()],
                wanted: [first.width(), first.height()],
            });
        }
        let (top, left) = (i / columns * (cell_height + GAP), i % columns * (cell_width + GAP));
        for (y, row) in picture.pixels().chunks_exact(cell_width * 3).enumerate() {
            let start = ((top + y) * width + left) * 3;
            pixels[start..start + row.len()].copy_from_slice(row);
        }
    }
    Ok(RgbImage::new(width as u32, height as u32, pixels)?)
}

/// The picture in another size, by cubic interpolation; a picture of that size is left as it is.
///
/// # Errors
///
/// Fails when the picture is empty.
pub fn resize(picture: &RgbImage, width: u32, height: u32) -> Result<RgbImage> {
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(picture.clone());
    }
    let buffer = image::RgbImage::from_raw(picture.width(), picture.height(), picture.pixels().to_vec());
    let Some(buffer) = buffer.filter(|buffer| !buffer.is_empty()) else {
        return Err(Error::GridSize { found: [picture.width(), picture.height()], wanted: [width, height] });
    };
    let resized = image::imageops::resize(&buffer, width, height, image::imageops::FilterType::CatmullRom);
    Ok(RgbImage::new(width, height, resized.into_raw())?)
}

/// The bytes of a PNG file.
pub(crate) fn encode_png(picture: &RgbImage) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    let (pixels, format) = (picture.pixels(), ImageFormat::Png);
    image::write_buffer_with_format(
        &mut bytes,
        pixels,
        picture.width(),
        picture.height(),
        ExtendedColorType::Rgb8,
        format,
    )?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(width: u32, height: u32, value: u8) -> RgbImage {
        RgbImage::new(width, height, vec![value; (width * height * 3) as usize]).unwrap()
    }

    #[test]
    fn png_files_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.png");
        let picture = RgbImage::new(2, 1, vec![1, 2, 3, 250, 251, 252]).unwrap();
        write_png(&path, &picture).unwrap();
        assert_eq!(read_image(&path).unwrap(), picture);
    }

    #[test]
    fn a_grid_places_every_picture() {
        let grid = grid(&[flat(3, 2, 10), flat(3, 2, 20), flat(3, 2, 30)], 2).unwrap();
        assert_eq!((grid.width(), grid.height()), (8, 6));
        let at = |x: usize, y: usize| grid.pixels()[(y * 8 + x) * 3];
        assert_eq!([at(0, 0), at(2, 1), at(3, 0), at(5, 0), at(0, 4), at(5, 4)], [10, 10, 255, 20, 30, 255]);
    }

    #[test]
    fn a_grid_of_unequal_pictures_is_refused() {
        let error = grid(&[flat(3, 2, 10), flat(2, 2, 20)], 2).unwrap_err().to_string();
        assert_eq!(error, "cannot place a picture of 2x2 pixels in a grid of 3x2 pixels");
    }
}
