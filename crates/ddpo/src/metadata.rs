//! `metadata.jsonl`, which gives the pictures of a folder their captions, in the Hugging Face `imagefolder` convention: one object a
//! line with `file_name` and `text`, one caption or a list of interchangeable ones. `labels` are the classes a picture belongs
//! to, each a prompt of its own; other keys are for rewards that know them.

use std::path::Path;

use ddpo_core::PromptMetadata;
use serde::Deserialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::images::{read_text, write_text};

/// The file's name in its folder.
pub const METADATA: &str = "metadata.jsonl";

/// One line.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Row {
    /// The picture's file, inside the folder.
    pub file_name: String,
    text: Captions,
    /// The classes it belongs to; mostly none.
    #[serde(default, alias = "animal")]
    pub labels: Vec<String>,
    /// All other keys.
    #[serde(flatten)]
    pub other: PromptMetadata,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Captions {
    One(String),
    Many(Vec<String>),
}

impl Row {
    /// Captions that describe the picture equally well.
    pub fn captions(&self) -> &[String] {
        match &self.text {
            Captions::One(text) => std::slice::from_ref(text),
            Captions::Many(list) => list,
        }
    }

    /// The text of another key.
    pub fn word(&self, key: &str) -> Option<&str> {
        self.other.get(key).and_then(serde_json::Value::as_str)
    }
}

/// The lines of the file at `path`.
///
/// # Errors
///
/// Fails when it cannot be read, and names the line that is no such object.
pub(crate) fn read(path: &Path) -> Result<Vec<Row>> {
    let text = read_text(path)?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|source| Error::Metadata { path: path.to_owned(), line: number + 1, source })
    };
    lines.map(row).collect()
}

/// Adds pictures, each a file name and a caption, to the metadata of a folder, which is made where there is none.
///
/// # Errors
///
/// Fails when the file cannot be read or written.
pub fn extend<'a>(folder: &Path, pictures: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<()> {
    let path = folder.join(METADATA);
    let mut text = if path.exists() { read_text(&path)? } else { String::new() };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (file_name, caption) in pictures {
        text += &format!("{}\n", json!({ "file_name": file_name, "text": caption }));
    }
    write_text(&path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_read_back_after_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join(METADATA),
            r#"{"file_name":"a.png","text":["a \"cat\"","cat"],"labels":["cat"]}"#,
        )
        .unwrap();
        extend(folder.path(), [("b.png", "two\ndogs")]).unwrap();
        let rows = read(&folder.path().join(METADATA)).unwrap();
        assert_eq!(rows[0].captions(), ["a \"cat\"", "cat"]);
        assert_eq!((rows[1].file_name.as_str(), rows[1].captions()), ("b.png", &["two\ndogs".to_owned()][..]));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(METADATA);
        std::fs::write(&path, "{\"file_name\":\"a.png\",\"text\":\"a\"}\n\n{}\n").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.ends_with("metadata.jsonl, line 3"), "{error}");
    }
}
