//! Entropy coding that counts bytes instead of storing them.

use super::blocks::Block;
use super::tables::{CHROMA_AC, CHROMA_DC, Code, LUMA_AC, LUMA_DC, codes};

/// A JPEG bit stream of which only the length is kept.
#[derive(Default)]
pub struct BitCounter {
    pending: u64,
    pending_bits: u32,
    bytes: usize,
}

impl BitCounter {
    /// Appends the lowest `length` bits of `bits`, at most 32.
    fn put(&mut self, bits: u32, length: u32) {
        self.pending = (self.pending << length) | u64::from(bits);
        self.pending_bits += length;
        while self.pending_bits >= 8 {
            self.pending_bits -= 8;
            let byte = (self.pending >> self.pending_bits) as u8;
            // A byte of ones is followed by a stuffed zero, so that it is no marker.
            self.bytes += 1 + usize::from(byte == 0xff);
        }
        self.pending &= (1 << self.pending_bits) - 1;
    }

    /// Pads the last byte with ones and returns the length in bytes.
    pub fn finish(mut self) -> usize {
        self.put(0x7f, 7);
        self.bytes
    }
}

/// The coder of one component: it keeps the previous block's mean.
pub struct BlockCoder {
    dc: [Code; 256],
    ac: [Code; 256],
    mean: i32,
}

const ZERO_RUN: usize = 0xf0;
const END_OF_BLOCK: usize = 0x00;

impl BlockCoder {
    /// The coder of the luma component.
    pub fn luma() -> Self {
        Self { dc: codes(&LUMA_DC), ac: codes(&LUMA_AC), mean: 0 }
    }

    /// The coder of a chroma component.
    pub fn chroma() -> Self {
        Self { dc: codes(&CHROMA_DC), ac: codes(&CHROMA_AC), mean: 0 }
    }

    /// Codes a block: the mean as a difference, then runs of zeros and the value after each.
    pub fn code(&mut self, block: &Block, bits: &mut BitCounter) {
        put_value(bits, &self.dc, 0, block[0] - self.mean);
        self.mean = block[0];
        let mut run = 0;
        for value in &block[1..] {
            if *value == 0 {
                run += 1;
                continue;
            }
            for _ in 0..run / 16 {
                put_symbol(bits, &self.ac, ZERO_RUN);
            }
            put_value(bits, &self.ac, run % 16, *value);
            run = 0;
        }
        if run > 0 {
            put_symbol(bits, &self.ac, END_OF_BLOCK);
        }
    }

    /// Codes a block that has the previous block's mean and nothing else.
    pub fn repeat_mean(&mut self, bits: &mut BitCounter) {
        let mut block = [0; 64];
        block[0] = self.mean;
        self.code(&block, bits);
    }
}

fn put_symbol(bits: &mut BitCounter, table: &[Code; 256], symbol: usize) {
    bits.put(table[symbol].bits, table[symbol].length);
}

/// Codes a value as its bit length (with the run of zeros before it) and its bits, those of a
/// negative value in one's complement.
fn put_value(bits: &mut BitCounter, table: &[Code; 256], run: usize, value: i32) {
    let length = 32 - value.unsigned_abs().leading_zeros();
    put_symbol(bits, table, (run << 4) | length as usize);
    let complement = if value < 0 { value - 1 } else { value };
    bits.put(complement as u32 & ((1 << length) - 1), length);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_ones_are_stuffed_and_the_last_byte_is_padded() {
        let mut bits = BitCounter::default();
        bits.put(0xff, 8);
        bits.put(0, 3);
        assert_eq!(bits.finish(), 3);
        assert_eq!(BitCounter::default().finish(), 0);
    }
}
