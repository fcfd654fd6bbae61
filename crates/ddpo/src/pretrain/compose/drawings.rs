//! A folder of cut-outs, as its `metadata.jsonl` describes them.

use std::path::Path;

use super::cutout::Cutout;
use crate::metadata::{self, METADATA, Row};
use crate::{Error, Result};

/// Which drawings of a folder to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Those of training.
    Train,
    /// Those of training, and those that the judge alone learns from.
    Judge,
    /// Those held out of it, by hands that training knows.
    HeldOut,
    /// Those of hands that training never sees.
    Unseen,
}

impl Split {
    /// What metadata call its drawings.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train"],
            Self::Judge => &["train", "judge"],
            Self::HeldOut => &["held-out"],
            Self::Unseen => &["unseen"],
        }
    }

    fn has(self, row: &Row) -> bool {
        row.word("split").is_some_and(|name| self.names().contains(&name))
    }
}

/// Nouns and styles, and the drawings that show them.
#[derive(Clone, Debug)]
pub struct Drawings {
    /// What is asked for: subjects, by their nouns.
    pub subjects: Vec<String>,
    /// What stands beside a subject, and sometimes alone.
    pub things: Vec<String>,
    /// The hands.
    pub styles: Vec<String>,
    /// By noun (subjects, then things) and style: the drawings of the split. A noun may have none in a style.
    cutouts: Vec<Vec<Vec<Cutout>>>,
}

impl Drawings {
    /// Reads the drawings of one split. Nouns and styles are all that the folder names in any split, so that their numbers are the
    /// same for every split of a folder.
    ///
    /// # Errors
    /// A missing or malformed file, a row without a role or a style, a split without a drawing.
    pub fn load(dir: &Path, split: Split) -> Result<Self> {
        Self::of_rows(dir, &metadata::read(&dir.join(METADATA))?, split)
    }

    /// The drawings of one split of a folder whose metadata have been read.
    pub(in crate::pretrain) fn of_rows(dir: &Path, rows: &[Row], split: Split) -> Result<Self> {
        let (mut subjects, mut things, mut styles) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let nouns = if is_subject(row)? { &mut subjects } else { &mut things };
            remember(nouns, noun(row)?);
            remember(&mut styles, word(row, "style", row.word("style"))?);
        }
        let nouns: Vec<&str> = subjects.iter().chain(&things).map(String::as_str).collect();
        let mut cutouts = vec![vec![Vec::new(); styles.len()]; nouns.len()];
        for row in rows.iter().filter(|row| split.has(row)) {
            let number = |words: &[&str], word: &str| words.iter().position(|known| *known == word).unwrap_or(0);
            let style = styles.iter().position(|style| Some(style.as_str()) == row.word("style")).unwrap_or(0);
            cutouts[number(&nouns, noun(row)?)][style].push(Cutout::read(&dir.join(&row.file_name))?);
        }
        let drawings = Self { subjects, things, styles, cutouts };
        if !drawings.cutouts.iter().flatten().any(|drawings| !drawings.is_empty()) {
            let path = dir.join(METADATA);
            let reason = format!("`{}` has no drawing whose split is {}", path.display(), split.names().join(" or "));
            return Err(Error::Data { reason });
        }
        Ok(drawings)
    }

    /// The nouns: subjects, then things.
    pub fn nouns(&self) -> impl Iterator<Item = &str> {
        self.subjects.iter().chain(&self.things).map(String::as_str)
    }

    /// Every noun and style with a drawing.
    #[must_use]
    pub fn pairs(&self) -> Vec<(String, String)> {
        let of = |(noun, text): (usize, &str)| -> Vec<(String, String)> {
            self.styles_of(noun).into_iter().map(|style| (text.to_owned(), self.styles[style].clone())).collect()
        };
        self.nouns().enumerate().flat_map(of).collect()
    }

    /// The styles that have a drawing of the noun with this number.
    pub(super) fn styles_of(&self, noun: usize) -> Vec<usize> {
        (0..self.styles.len()).filter(|&style| !self.cutouts[noun][style].is_empty()).collect()
    }

    /// Whether the split has a drawing in the style with this number.
    pub(super) fn has_style(&self, style: usize) -> bool {
        self.cutouts.iter().any(|of_noun| !of_noun[style].is_empty())
    }

    /// The drawings of a noun in a style.
    pub(super) fn of(&self, noun: usize, style: usize) -> &[Cutout] {
        &self.cutouts[noun][style]
    }
}

/// Whether the rows of a `metadata.jsonl` are cut-outs to compose pictures from: rows with a `role`.
pub(crate) fn are_cutouts(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.word("role").is_some())
}

fn is_subject(row: &Row) -> Result<bool> {
    match row.word("role") {
        Some("subject") => Ok(true),
        Some("beside") => Ok(false),
        other => Err(refuse(row, &format!("the role is {other:?}, wanted \"subject\" or \"beside\""))),
    }
}

fn noun(row: &Row) -> Result<&str> {
    word(row, "text", row.captions().first().map(String::as_str))
}

fn word<'a>(row: &Row, key: &str, word: Option<&'a str>) -> Result<&'a str> {
    word.filter(|word| !word.is_empty()).ok_or_else(|| refuse(row, &format!("found no `{key}`")))
}

fn refuse(row: &Row, reason: &str) -> Error {
    Error::Data { reason: format!("`{}`: {reason}", row.file_name) }
}

fn remember(words: &mut Vec<String>, word: &str) {
    if !words.iter().any(|known| known == word) {
        words.push(word.to_owned());
    }
}
