//! From an SVG file to a cut-out: the drawing on nothing, as large as its square allows.

use anyhow::{Context, Result, bail};
use image::imageops::{FilterType, crop_imm, overlay, resize};
use image::{Rgba, Rgba32FImage, RgbaImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The side that drawings are rendered at before they are cut out, in pixels.
const CANVAS: u32 = 512;

/// Alpha below this is no part of the drawing: the rim of a soft shadow.
const VISIBLE: f32 = 0.03;

/// Renders an SVG file, cuts the drawing out, and fits its longer side to `side` pixels, in the middle of a transparent square.
pub fn cut_out(svg: &str, side: u32) -> Result<RgbaImage> {
    let drawn = draw(svg)?;
    let [left, top, right, bottom] = bounds(&drawn).context("the drawing is empty")?;
    let (width, height) = (right - left, bottom - top);
    let scale = side as f32 / width.max(height) as f32;
    let fit = |length: u32| ((length as f32 * scale).round() as u32).clamp(1, side);
    let cut = crop_imm(&drawn, left, top, width, height).to_image();
    let small = resize(&cut, fit(width), fit(height), FilterType::CatmullRom);
    let mut square = RgbaImage::new(side, side);
    let (x, y) = ((side - small.width()) / 2, (side - small.height()) / 2);
    overlay(&mut square, &straight(&small), x.into(), y.into());
    Ok(square)
}

/// The drawing with premultiplied colours in [0, 1]: what may be resized without a colour of nothing bleeding into an edge.
fn draw(svg: &str) -> Result<Rgba32FImage> {
    let tree = Tree::from_str(svg, &Options::default()).context("read an SVG drawing")?;
    let size = tree.size();
    let scale = CANVAS as f32 / size.width().max(size.height());
    let mut pixmap = Pixmap::new(CANVAS, CANVAS).context("make a canvas")?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut pixmap.as_mut());
    let values = pixmap.data().iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let Some(image) = Rgba32FImage::from_raw(CANVAS, CANVAS, values) else { bail!("the canvas has another size") };
    Ok(image)
}

/// Left, top, right and bottom of what is visible, the last two exclusive.
fn bounds(image: &Rgba32FImage) -> Option<[u32; 4]> {
    let visible = image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] > VISIBLE);
    visible.fold(None, |bounds, (x, y, _)| {
        let [left, top, right, bottom] = bounds.unwrap_or([x, y, x + 1, y + 1]);
        Some([left.min(x), top.min(y), right.max(x + 1), bottom.max(y + 1)])
    })
}

/// Eight bits a channel, colours as PNG has them, not multiplied by alpha.
fn straight(image: &Rgba32FImage) -> RgbaImage {
    RgbaImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, alpha] = image.get_pixel(x, y).0;
        let alpha = alpha.clamp(0.0, 1.0);
        let byte = |value: f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        let colour = |value: f32| if alpha > 0.0 { byte(value / alpha) } else { 0 };
        Rgba([colour(r), colour(g), colour(b), byte(alpha)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_fills_its_square_whatever_its_place() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 40\" width=\"40\" height=\"40\">\
            <rect x=\"10\" y=\"20\" width=\"20\" height=\"10\" fill=\"#ff0000\"/></svg>";
        let cut = cut_out(svg, 32).unwrap();
        assert_eq!(cut.get_pixel(1, 16).0, [255, 0, 0, 255]);
        assert_eq!(cut.get_pixel(30, 16).0, [255, 0, 0, 255]);
        assert_eq!(cut.get_pixel(16, 4).0[3], 0);
        assert_eq!(cut.get_pixel(16, 27).0[3], 0);
    }

    #[test]
    fn an_empty_drawing_is_refused() {
        let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 40 40\" width=\"40\" height=\"40\"></svg>";
        assert!(cut_out(svg, 32).is_err());
    }
}
