//! An image folder with captions, which its [metadata](crate::metadata) gives, held in memory.

use std::path::Path;

use crate::images::read_image;
use crate::metadata::{self, METADATA, Row};
use crate::{Error, Result};

/// A picture and the captions that describe it equally well.
#[derive(Clone, Debug)]
pub struct Example {
    /// The file's name inside the folder.
    pub file_name: String,
    /// Interchangeable captions; at least one.
    pub captions: Vec<String>,
    /// The classes the picture belongs to; mostly none.
    pub labels: Vec<String>,
    /// RGB in [−1, 1], row-major `[size, size, 3]`.
    pub pixels: Vec<f32>,
}

/// The whole folder: square pictures of one size.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    /// Side of every picture, in pixels.
    pub size: usize,
    /// In the order of `metadata.jsonl`.
    pub examples: Vec<Example>,
    cumulative: Vec<f64>,
}

impl ImageFolder {
    /// Reads `dir/metadata.jsonl` and every picture it names. A picture with a label is drawn `label_weight` times as often as
    /// one without.
    ///
    /// # Errors
    /// A missing or malformed file, an empty folder, a caption list with nothing in it, or pictures that are not squares of one
    /// size; each names the line or the file.
    pub fn load(dir: &Path, label_weight: f64) -> Result<Self> {
        Self::of_rows(dir, metadata::read(&dir.join(METADATA))?, label_weight)
    }

    /// The pictures of a folder whose metadata have been read.
    pub(super) fn of_rows(dir: &Path, rows: Vec<Row>, label_weight: f64) -> Result<Self> {
        let mut examples = Vec::new();
        let mut size = None;
        for row in rows {
            examples.push(example(dir, row, &mut size)?);
        }
        let size =
            size.ok_or_else(|| Error::Data { reason: format!("`{}` names no picture", dir.join(METADATA).display()) })?;
        Ok(Self::new(size, examples, label_weight))
    }

    fn new(size: usize, examples: Vec<Example>, label_weight: f64) -> Self {
        let cumulative = examples
            .iter()
            .scan(0.0, |total, example| {
                *total += if example.labels.is_empty() { 1.0 } else { label_weight };
                Some(*total)
            })
            .collect();
        Self { size, examples, cumulative }
    }

    /// The example that a uniform number in [0, 1) selects, by weight.
    #[must_use]
    pub fn pick(&self, uniform: f64) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        self.cumulative.partition_point(|&edge| edge <= uniform * total).min(self.examples.len() - 1)
    }

    /// The pictures `rows` as one flat `[rows, size, size, 3]` batch; `flip[i]` mirrors the i-th horizontally.
    #[must_use]
    pub fn batch(&self, rows: &[usize], flip: &[bool]) -> Vec<f32> {
        let mut out = Vec::with_capacity(rows.len() * self.size * self.size * 3);
        for (&row, &flip) in rows.iter().zip(flip) {
            self.append(&self.examples[row].pixels, flip, &mut out);
        }
        out
    }

    fn append(&self, pixels: &[f32], flip: bool, out: &mut Vec<f32>) {
        if !flip {
            return out.extend_from_slice(pixels);
        }
        for row in pixels.chunks_exact(self.size * 3) {
            row.chunks_exact(3).rev().for_each(|pixel| out.extend_from_slice(pixel));
        }
    }

    /// Every caption of every example, in order: what the tokenizer's vocabulary is learned from.
    pub fn captions(&self) -> impl Iterator<Item = &str> {
        self.examples.iter().flat_map(|example| example.captions.iter().map(String::as_str))
    }
}

fn example(dir: &Path, row: Row, size: &mut Option<usize>) -> Result<Example> {
    let refuse = |reason: String| Error::Data { reason: format!("`{}`: {reason}", row.file_name) };
    let captions = row.captions().to_vec();
    if captions.is_empty() {
        return Err(refuse("found no caption, wanted at least one".into()));
    }
    let image = read_image(&dir.join(&row.file_name))?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let side = *size.get_or_insert(width);
    if width != side || height != side {
        return Err(refuse(format!("found {width}×{height} pixels, wanted {side}×{side} as the first picture")));
    }
    let pixels = image.pixels().iter().map(|&byte| f32::from(byte) / 127.5 - 1.0).collect();
    Ok(Example { file_name: row.file_name, captions, labels: row.labels, pixels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> ImageFolder {
        let example = |name: &str, labels: &[&str], pixels: Vec<f32>| Example {
            file_name: name.into(),
            captions: vec![name.into()],
            labels: labels.iter().map(ToString::to_string).collect(),
            pixels,
        };
        let left_white = [[1.0; 3], [-1.0; 3], [1.0; 3], [-1.0; 3]].concat();
        ImageFolder::new(2, vec![example("a", &["cat"], left_white), example("b", &[], vec![0.0; 12])], 3.0)
    }

    #[test]
    fn labelled_pictures_are_drawn_more_often() {
        let folder = folder();
        assert_eq!([0.0, 0.74, 0.76, 0.999].map(|u| folder.pick(u)), [0, 0, 1, 1]);
    }

    #[test]
    fn a_flip_mirrors_the_columns() {
        let folder = folder();
        let batch = folder.batch(&[0, 0], &[false, true]);
        assert_eq!(batch[..3], [1.0; 3]);
        assert_eq!(batch[12..15], [-1.0; 3]);
        assert_eq!(batch[15..18], [1.0; 3]);
    }
}
