//! TensorBoard event files: TFRecords of `Event` messages with scalar summaries.
//!
//! The format is small and frozen: a record is its length, a masked CRC-32C of the length, the bytes, and their masked
//! CRC-32C (tensorflow/core/lib/io/record_writer.cc); an event is a protobuf of four fields (event.proto, summary.proto).

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Tracker;
use crate::error::Result;
use crate::events::Event;
use crate::fs::LineFile;

/// Writes every measurement as a scalar summary.
#[derive(Debug)]
pub struct TensorBoard {
    file: LineFile,
}

impl TensorBoard {
    /// The file's name in a run directory, and the tracker's: TensorBoard reads any file with `tfevents` in its name.
    pub const NAME: &'static str = "events.out.tfevents.0.ddpo";

    /// Starts a file in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the path.
    pub fn create(directory: &Path) -> Result<Self> {
        let mut file = LineFile::create(&directory.join(Self::NAME))?;
        file.append(&record(&event(now(), 0, Field::Version)))?;
        Ok(Self { file })
    }

    /// Goes on with the file in `directory`, cut back to the `length` a checkpoint recorded. A length of 0 (the
    /// tracker was off before) starts the file.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the path, [`Error::FileTooShort`](crate::Error::FileTooShort).
    pub fn resume(directory: &Path, length: u64) -> Result<Self> {
        match length {
            0 => Self::create(directory),
            _ => Ok(Self { file: LineFile::resume(&directory.join(Self::NAME), length)? }),
        }
    }
}

impl Tracker for TensorBoard {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn record(&mut self, heard: &Event<'_>) -> Result<()> {
        let Event::Record(measured) = heard else { return Ok(()) };
        let scalars = measured.scalars();
        if scalars.is_empty() {
            return Ok(());
        }
        self.file.append(&record(&event(now(), measured.step(), Field::Scalars(&scalars))))
    }

    fn sync(&mut self) -> Result<Option<u64>> {
        self.file.sync().map(Some)
    }
}

/// What an event says.
enum Field<'a> {
    /// `file_version` (3), which every file begins with.
    Version,
    /// `summary` (5): `Value { tag = 1, simple_value = 2 }`.
    Scalars(&'a [(String, f64)]),
}

/// `Event { wall_time = 1 (double), step = 2 (varint), .. }`.
fn event(wall_time: f64, step: u64, field: Field<'_>) -> Vec<u8> {
    let mut bytes = vec![0x09];
    bytes.extend(wall_time.to_le_bytes());
    bytes.push(0x10);
    varint(&mut bytes, step);
    match field {
        Field::Version => chunk(&mut bytes, 3, b"brain.Event:2"),
        Field::Scalars(scalars) => chunk(&mut bytes, 5, &summary(scalars)),
    }
    bytes
}

fn summary(scalars: &[(String, f64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (tag, value) in scalars {
        let mut entry = Vec::new();
        chunk(&mut entry, 1, tag.as_bytes());
        entry.push(0x15);
        entry.extend((*value as f32).to_le_bytes());
        chunk(&mut bytes, 1, &entry);
    }
    bytes
}

/// A length-delimited protobuf field.
fn chunk(bytes: &mut Vec<u8>, field: u8, content: &[u8]) {
    bytes.push(field << 3 | 2);
    varint(bytes, content.len() as u64);
    bytes.extend(content);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let mut bytes = length.to_vec();
    bytes.extend(masked_crc(&length).to_le_bytes());
    bytes.extend(content);
    bytes.extend(masked_crc(content).to_le_bytes());
    bytes
}

/// TensorFlow's mask: a CRC over bytes which hold CRCs would be weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C (Castagnoli), bit by bit: a run writes a few kilobytes.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 })
    })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn records_are_those_of_tensorflow() {
        // tf.io.TFRecordWriter("f").write(b"abc") writes these bytes.
        let expected = [3, 0, 0, 0, 0, 0, 0, 0];
        let bytes = record(b"abc");
        assert_eq!(bytes[..8], expected);
        assert_eq!(bytes[12..15], *b"abc");
        assert_eq!(bytes.len(), 8 + 4 + 3 + 4);
    }

    #[test]
    fn an_event_is_the_protobuf_of_its_fields() {
        let bytes = event(1.0, 300, Field::Scalars(&[("a".to_owned(), 0.5)]));
        let mut expected = vec![0x09];
        expected.extend(1.0f64.to_le_bytes());
        expected.extend([0x10, 0xac, 0x02, 0x2a, 10, 0x0a, 8, 0x0a, 1, b'a', 0x15, 0, 0, 0, 0x3f]);
        assert_eq!(bytes, expected);
    }
}
