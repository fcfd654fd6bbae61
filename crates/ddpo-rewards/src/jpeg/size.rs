//! Bytes of the JPEG file that libjpeg would write, without writing it.

use super::bits::{BitCounter, BlockCoder};
use super::blocks::{BlockGrid, quantized_blocks};
use super::planes::Planes;
use super::tables::{CHROMA_QUANTIZATION, LUMA_QUANTIZATION, quality_95};

/// SOI, JFIF APP0, two quantisation tables, SOF0, four Huffman tables, SOS.
const HEADER_BYTES: usize = 623;
/// The end-of-image marker.
const TRAILER_BYTES: usize = 2;

/// The size in bytes of an image as a baseline JPEG of quality 95 with 4:2:0 chroma and the
/// standard Huffman tables: exactly what `PIL.Image.save(…, "JPEG", quality=95)` writes.
///
/// # Shapes
/// `pixels` holds `height` × `width` × 3 bytes, row by row, red green blue; `None` if it does not,
/// or if a side is zero or above 65 535, which JPEG cannot express.
///
/// Only the entropy-coded part depends on the image, and it needs an exact walk: the colour
/// conversion, chroma averaging, integer DCT ("islow") and edge padding are those of libjpeg,
/// because a coefficient that rounds otherwise changes the count.
pub fn jpeg_bytes(width: usize, height: usize, pixels: &[u8]) -> Option<usize> {
    let valid = |side: usize| (1..=65_535).contains(&side);
    if !valid(width) || !valid(height) || pixels.len() != width * height * 3 {
        return None;
    }
    let planes = Planes::from_rgb(width, height, pixels);
    let luma = quantized_blocks(&planes.luma, &quality_95(&LUMA_QUANTIZATION));
    let chroma_table = quality_95(&CHROMA_QUANTIZATION);
    let cb = quantized_blocks(&planes.cb, &chroma_table);
    let cr = quantized_blocks(&planes.cr, &chroma_table);
    Some(HEADER_BYTES + scan_bytes([&luma, &cb, &cr]) + TRAILER_BYTES)
}

/// Codes the minimum coded units: each holds 2×2 luma blocks and one block of either chroma.
fn scan_bytes([luma, cb, cr]: [&BlockGrid; 3]) -> usize {
    let mut bits = BitCounter::default();
    let mut coders = [BlockCoder::luma(), BlockCoder::chroma(), BlockCoder::chroma()];
    for row in 0..cb.rows {
        for column in 0..cb.columns {
            code_luma(&mut coders[0], &mut bits, luma, 2 * row, 2 * column);
            let unit = row * cb.columns + column;
            coders[1].code(&cb.blocks[unit], &mut bits);
            coders[2].code(&cr.blocks[unit], &mut bits);
        }
    }
    bits.finish()
}

/// Codes four luma blocks; those outside the image repeat the previous block's mean, as libjpeg's
/// `compress_data` does, which costs a zero difference and an end-of-block.
fn code_luma(coder: &mut BlockCoder, bits: &mut BitCounter, luma: &BlockGrid, row: usize, column: usize) {
    for (y, x) in [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)] {
        if y < luma.rows && x < luma.columns {
            coder.code(&luma.blocks[y * luma.columns + x], bits);
        } else {
            coder.repeat_mean(bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grey_image_is_headers_and_empty_blocks() {
        assert_eq!(jpeg_bytes(64, 64, &[128; 64 * 64 * 3]), Some(689));
    }

    #[test]
    fn shapes_that_do_not_fit_have_no_size() {
        assert_eq!(jpeg_bytes(2, 2, &[0; 11]), None);
        assert_eq!(jpeg_bytes(0, 2, &[]), None);
        assert_eq!(jpeg_bytes(70_000, 1, &[0; 210_000]), None);
    }
}
