//! From a component plane to quantised 8×8 blocks in zigzag order.

use super::dct::forward;
use super::planes::Plane;
use super::tables::ZIGZAG;

/// Quantised coefficients in zigzag order, the mean first.
pub type Block = [i32; 64];

/// The blocks of one component, row by row.
pub struct BlockGrid {
    pub columns: usize,
    pub rows: usize,
    pub blocks: Vec<Block>,
}

/// Transforms and quantises every block of a plane; `table` is in row order.
pub fn quantized_blocks(plane: &Plane, table: &[i32; 64]) -> BlockGrid {
    let (columns, rows) = (plane.width / 8, plane.height / 8);
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column, row)));
    let blocks = places.map(|(column, row)| quantized(plane, column, row, table)).collect();
    BlockGrid { columns, rows, blocks }
}

fn quantized(plane: &Plane, column: usize, row: usize, table: &[i32; 64]) -> Block {
    let corner = row * 8 * plane.width + column * 8;
    let samples = std::array::from_fn(|i| plane.samples[corner + i / 8 * plane.width + i % 8]);
    let coefficients = forward(samples);
    ZIGZAG.map(|place| divide_rounded(coefficients[place], table[place] * 8))
}

/// Division rounding halves away from zero.
fn divide_rounded(value: i32, divisor: i32) -> i32 {
    value.signum() * ((value.abs() + divisor / 2) / divisor)
}
