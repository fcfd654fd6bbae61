//! What ranks tell each other, as bytes: little-endian, one thing after the other, the length before what has one.

use crate::error::{Error, Result};

/// Puts things one after the other.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

/// Takes them out again, in the same order.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl Writer {
    pub fn number(&mut self, value: u64) {
        self.0.extend(value.to_le_bytes());
    }

    pub fn numbers(&mut self, values: impl ExactSizeIterator<Item = u64>) {
        self.number(values.len() as u64);
        values.for_each(|value| self.number(value));
    }

    pub fn float(&mut self, value: f64) {
        self.number(value.to_bits());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    pub fn floats(&mut self, values: &[f32]) {
        self.number(values.len() as u64);
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn number(&mut self) -> Result<u64> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(too_short)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    pub fn numbers(&mut self) -> Result<Vec<u64>> {
        let count = self.count(8)?;
        (0..count).map(|_| self.number()).collect()
    }

    pub fn float(&mut self) -> Result<f64> {
        Ok(f64::from_bits(self.number()?))
    }

    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let count = self.count(1)?;
        self.take(count)
    }

    pub fn text(&mut self) -> Result<String> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub fn floats(&mut self) -> Result<Vec<f32>> {
        let count = self.count(4)?;
        let (words, _) = self.take(4 * count)?.as_chunks();
        Ok(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
    }

    /// How many things of so many bytes each follow, at least.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize> {
        let count = self.number()? as usize;
        match count.checked_mul(bytes_each) {
            Some(bytes) if bytes <= self.0.len() => Ok(count),
            _ => Err(too_short()),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(too_short)?;
        self.0 = rest;
        Ok(taken)
    }
}

fn too_short() -> Error {
    Error::Ranks("a message of another rank is cut short".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = Writer::default();
        writer.number(7);
        writer.numbers([1, u64::MAX].into_iter());
        writer.float(-0.0);
        writer.floats(&[1.5, f32::NEG_INFINITY]);
        writer.bytes("Füchse".as_bytes());
        let bytes = writer.finish();
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.number().unwrap(), 7);
        assert_eq!(reader.numbers().unwrap(), [1, u64::MAX]);
        assert_eq!(reader.float().unwrap().to_bits(), (-0.0f64).to_bits());
        assert_eq!(reader.floats().unwrap(), [1.5, f32::NEG_INFINITY]);
        assert_eq!(reader.text().unwrap(), "Füchse");
        assert!(reader.number().is_err());
    }

    #[test]
    fn a_length_beyond_the_message_is_refused() {
        for length in [4, u64::MAX] {
            let mut writer = Writer::default();
            writer.number(length);
            let bytes = writer.finish();
            assert!(Reader::new(&bytes).bytes().is_err() && Reader::new(&bytes).floats().is_err());
        }
    }
}
