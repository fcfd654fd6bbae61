//! Pairs of pictures out of a file: JSON Lines, a prompt and two pictures a line, which of them is preferred.

use std::path::{Path, PathBuf};

use ddpo_core::PromptMetadata;
use serde_json::Value;

use crate::error::{Error, Result};

use super::table::{Row, json_lines};

/// The field of the preferred picture.
const WIN: &str = "win";

/// The field of the other picture.
const LOSE: &str = "lose";

/// A pair of pictures of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PicturePair {
    /// Its line, from 1.
    pub line: usize,
    /// What both pictures were asked for.
    pub prompt: String,
    /// The preferred picture.
    pub win: PathBuf,
    /// The other.
    pub lose: PathBuf,
}

/// The pairs of a file, whose paths count from the file's folder. Blank lines are none.
///
/// # Errors
///
/// Names the first line that is no object with a prompt and two pictures which are there and are not the same.
pub(crate) fn read_pairs(path: &Path) -> Result<Vec<PicturePair>> {
    let text = crate::images::read_text(path)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let pairs: Result<Vec<PicturePair>> =
        json_lines(path, text)?.into_iter().map(|row| pair(path, folder, row)).collect();
    match pairs {
        Ok(pairs) if pairs.is_empty() => Err(refuse(path, "no pair in it")),
        other => other,
    }
}

/// The pairs of a file by content, so that files may move.
///
/// # Errors
///
/// Those of [`read_pairs`], and fails when a picture cannot be read.
pub(crate) fn pairs_fingerprint(path: &Path) -> Result<String> {
    let pairs = read_pairs(path)?;
    let mut hash = crc32fast::Hasher::new();
    for pair in &pairs {
        hash.update(pair.prompt.as_bytes());
        for picture in [&pair.win, &pair.lose] {
            hash.update(&crate::model::checksum(picture)?.to_le_bytes());
        }
    }
    Ok(format!("{} of them, checksum {:08x}", pairs.len(), hash.finalize()))
}

fn pair(path: &Path, folder: &Path, Row { number, prompt, metadata }: Row) -> Result<PicturePair> {
    let at = |reason: &str| refuse(path, &format!("line {}: {reason}", number + 1));
    if prompt.is_empty() {
        return Err(at("the prompt is empty"));
    }
    let picture = |field: &str| picture(folder, &metadata, field).map_err(|reason| at(&reason));
    let (win, lose) = (picture(WIN)?, picture(LOSE)?);
    if win == lose {
        return Err(at("both pictures are the same file"));
    }
    Ok(PicturePair { line: number + 1, prompt, win, lose })
}

fn picture(folder: &Path, fields: &PromptMetadata, field: &str) -> Result<PathBuf, String> {
    let found = match fields.get(field) {
        Some(Value::String(name)) if !name.is_empty() => {
            let path = folder.join(name);
            return if path.is_file() { Ok(path) } else { Err(format!("`{name}` of the field `{field}` is no file")) };
        }
        found => found.map_or_else(|| "nothing".to_owned(), Value::to_string),
    };
    Err(format!("{found} found in the field `{field}`, the path of a picture wanted"))
}

fn refuse(path: &Path, reason: &str) -> Error {
    Error::Data { reason: format!("{}, {reason}", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<PicturePair>> {
        let directory = tempfile::tempdir().unwrap();
        for name in ["a.png", "b.png"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let path = directory.path().join("pairs.jsonl");
        std::fs::write(&path, text).unwrap();
        let pairs = read_pairs(&path)?;
        let strip = |path: &Path| path.strip_prefix(directory.path()).unwrap().to_owned();
        let stripped = |pair: PicturePair| PicturePair { win: strip(&pair.win), lose: strip(&pair.lose), ..pair };
        Ok(pairs.into_iter().map(stripped).collect())
    }

    #[test]
    fn a_line_is_a_pair() {
        let text = "{\"prompt\": \" a cat \", \"win\": \"a.png\", \"lose\": \"b.png\", \"by\": \"me\"}\n\n\
                    {\"prompt\": \"a dog\", \"win\": \"b.png\", \"lose\": \"a.png\"}\n";
        let pair = |line, prompt: &str, win: &str, lose: &str| PicturePair {
            line,
            prompt: prompt.to_owned(),
            win: win.into(),
            lose: lose.into(),
        };
        assert_eq!(read(text).unwrap(), [pair(1, "a cat", "a.png", "b.png"), pair(3, "a dog", "b.png", "a.png")]);
    }

    #[test]
    fn bad_lines_are_refused_by_number() {
        let good = "{\"prompt\": \"a cat\", \"win\": \"a.png\", \"lose\": \"b.png\"}\n";
        for (bad, wanted) in [
            ("{", "line 2: no JSON"),
            ("{\"win\": \"a.png\", \"lose\": \"b.png\"}", "line 2: nothing found in the field `prompt`"),
            ("{\"prompt\": \" \", \"win\": \"a.png\", \"lose\": \"b.png\"}", "line 2: the prompt is empty"),
            ("{\"prompt\": \"a\", \"lose\": \"b.png\"}", "line 2: nothing found in the field `win`"),
            ("{\"prompt\": \"a\", \"win\": 3, \"lose\": \"b.png\"}", "line 2: 3 found in the field `win`"),
            (
                "{\"prompt\": \"a\", \"win\": \"a.png\", \"lose\": \"c.png\"}",
                "line 2: `c.png` of the field `lose` is no file",
            ),
            ("{\"prompt\": \"a\", \"win\": \"a.png\", \"lose\": \"a.png\"}", "line 2: both pictures are the same file"),
        ] {
            let message = read(&format!("{good}{bad}\n")).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
        assert!(read("\n").unwrap_err().to_string().ends_with("no pair in it"));
    }
}
