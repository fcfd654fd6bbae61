//! The two documents of the protocol: the request with its pictures, and the answer.

use std::path::{Path, PathBuf};

use ddpo_core::{RewardBatch, RgbImage};
use serde_json::json;

use crate::{Error, Result};

/// Writes the pictures into `folder` and returns the request line.
pub fn request(folder: &Path, batch: &RewardBatch<'_>) -> Result<String> {
    let paths = batch.images.iter().enumerate().map(|(index, image)| write_picture(folder, index, image));
    let paths = paths.collect::<Result<Vec<PathBuf>>>()?;
    let line = json!({ "images": paths, "prompts": batch.prompts });
    Ok(format!("{line}\n"))
}

fn write_picture(folder: &Path, index: usize, image: &RgbImage) -> Result<PathBuf> {
    let path = folder.join(format!("{index:04}.png"));
    image::save_buffer(&path, image.pixels(), image.width(), image.height(), image::ColorType::Rgb8)
        .map_err(|error| Error::Picture { path: path.clone(), source: error.into() })?;
    Ok(path)
}

/// The numbers of an answer line; NaN and wrong counts are left to [`Checked`](crate::Checked).
///
/// Python prints NaN and Infinity, which JSON does not have. They are read all the same, so that the error can name the
/// sample.
pub fn answer(line: &str) -> Option<Vec<f32>> {
    let list = line.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    if list.is_empty() {
        return Some(Vec::new());
    }
    list.split(',').map(|number| number.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lists_of_numbers() {
        assert_eq!(answer("[1, -2.5e1]\n"), Some(vec![1.0, -25.0]));
        assert_eq!(answer("[]"), Some(vec![]));
        assert!(answer("[NaN]").unwrap()[0].is_nan());
        assert_eq!(answer("[-Infinity]"), Some(vec![f32::NEG_INFINITY]));
        for wrong in ["", "1.0", "[1,]", "[null]", "[\"1\"]", "[[1]]", "loading model"] {
            assert_eq!(answer(wrong), None, "{wrong}");
        }
    }
}
