//! What tells pictures from each other.

use ddpo_core::{RewardBatch, RgbImage};

/// FNV-1a with 128 bits (Fowler, Noll, Vo; RFC 9923), the same on every machine and in every version.
#[derive(Clone, Copy, Debug)]
pub struct Fingerprint(u128);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fingerprint {
    /// The fingerprint with these bytes behind the others, and the end of them.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
        let step = |hash: u128, &byte: &u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        let hash = bytes.iter().fold(self.0, step);
        // Without the length "ab" and "c" would be "a" and "bc".
        Self((bytes.len() as u64).to_le_bytes().iter().fold(hash, step))
    }

    /// The number.
    pub fn value(self) -> u128 {
        self.0
    }

    /// That of a picture.
    pub fn of_image(image: &RgbImage) -> Self {
        Self::default().with(&image.width().to_le_bytes()).with(&image.height().to_le_bytes()).with(image.pixels())
    }

    /// That of a picture with its prompt and what is known of it.
    pub fn of_row(batch: &RewardBatch<'_>, row: usize) -> Self {
        let metadata = batch.metadata.get(row).and_then(|known| serde_json::to_string(&**known).ok());
        let image = Self::of_image(&batch.images[row]).with(batch.prompts[row].as_bytes());
        metadata.map_or(image, |metadata| image.with(metadata.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_reward_sees_counts() {
        let image = |width, height, byte| RgbImage::new(width, height, vec![byte; 6]).unwrap();
        let images = [image(2, 1, 0), image(1, 2, 0), image(2, 1, 1)];
        let prompts = ["a", "a", "a"].map(String::from);
        let (batch, others) = (RewardBatch::new(&images, &prompts), ["b", "a", "a"].map(String::from));
        let mut all: Vec<u128> = (0..3).map(|row| Fingerprint::of_row(&batch, row).value()).collect();
        all.push(Fingerprint::of_row(&RewardBatch::new(&images, &others), 0).value());
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4);
        let split = |a: &str, b: &str| Fingerprint::default().with(a.as_bytes()).with(b.as_bytes()).value();
        assert_ne!(split("ab", "c"), split("a", "bc"));
    }
}
