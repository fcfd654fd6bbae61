//! Pictures inside of a document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ddpo_core::RgbImage;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _, ImageError};

/// The picture as a PNG file in Base64 (RFC 4648, section 4).
pub fn encoded(image: &RgbImage) -> Result<String, ImageError> {
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(image.pixels(), image.width(), image.height(), ExtendedColorType::Rgb8)?;
    Ok(STANDARD.encode(png))
}

/// The picture as an address that holds it (RFC 2397).
pub fn data_url(image: &RgbImage) -> Result<String, ImageError> {
    Ok(format!("data:image/png;base64,{}", encoded(image)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_reads_back() {
        let picture = RgbImage::new(2, 1, vec![0, 1, 2, 253, 254, 255]).unwrap();
        let png = STANDARD.decode(encoded(&picture).unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap().into_rgb8().into_raw(), picture.pixels());
    }
}
