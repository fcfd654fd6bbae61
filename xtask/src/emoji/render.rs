//! From a transparent 72×72 PNG to an opaque picture of the wanted size.

use anyhow::{Context, Result};
use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage, RgbaImage};

/// Draws a PNG on white and resizes it to `size`×`size` with the Catmull-Rom filter.
///
/// Compositing comes first: both steps are linear, so that resizing the composite equals resizing
/// premultiplied colours, and no colour of a transparent pixel can bleed into an edge.
pub fn render(png: &[u8], size: u32) -> Result<RgbImage> {
    let picture = image::load_from_memory(png).context("decode a Twemoji picture")?.to_rgba8();
    Ok(resize(&on_white(&picture), size, size, FilterType::CatmullRom))
}

fn on_white(picture: &RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0.map(u32::from);
        let over = |channel: u32| ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        Rgb([over(r), over(g), over(b)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgba;

    #[test]
    fn transparent_pixels_are_white_whatever_their_colour() {
        let mut picture = RgbaImage::from_pixel(2, 1, Rgba([10, 20, 30, 0]));
        picture.put_pixel(1, 0, Rgba([10, 20, 30, 255]));
        let drawn = on_white(&picture);
        assert_eq!(drawn.get_pixel(0, 0).0, [255; 3]);
        assert_eq!(drawn.get_pixel(1, 0).0, [10, 20, 30]);
    }
}
