//! Where prompts come from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};

use super::animals::{ANIMALS, counting, nouns_activities};
use super::compositions::compositions;
use super::imagenet::IMAGENET_ANIMALS;
use super::list::PromptList;
use super::pairs::read_pairs;
use super::table::{Layout, Row, json_lines, table};

/// Where prompts come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PromptSource {
    /// The 45 animals of the paper.
    SimpleAnimals,
    /// The 398 animal classes of ImageNet.
    ImagenetAnimals,
    /// Every animal of the paper and a thing beside it: "a cat and an umbrella".
    Compositions,
    /// Every animal doing one of three things.
    NounsActivities,
    /// Two to `max_count` of every animal.
    Counting {
        /// The largest number asked for, at most [`PromptSource::MAX_COUNT`].
        max_count: usize,
    },
    /// The prompts of a UTF-8 file, without the space around them: a line each, where blank lines and lines that start with `#` are
    /// none; or by the file's name JSON Lines with a field `prompt`, or a table with a column of that name, whose other
    /// fields or columns are the prompt's metadata.
    File {
        /// The file.
        path: PathBuf,
        /// The first line to use, from 0, or row below a table's header. Every line counts, whether it is a prompt or not.
        start: usize,
        /// The line to stop before.
        end: Option<usize>,
    },
    /// The prompts of a file of pairs of pictures, each once.
    Pairs(PathBuf),
    /// The prompts themselves; never empty.
    List(Vec<String>),
}

impl PromptSource {
    /// The largest number that `counting` can ask for.
    pub const MAX_COUNT: usize = 9;

    /// The source of this name, for the kinds that need nothing but a name.
    ///
    /// # Errors
    ///
    /// Names the kinds there are.
    pub fn named(name: &str) -> Result<Self> {
        let known = ["simple-animals", "imagenet-animals", "compositions", "nouns-activities", "counting"];
        match name {
            "simple-animals" => Ok(Self::SimpleAnimals),
            "imagenet-animals" => Ok(Self::ImagenetAnimals),
            "compositions" => Ok(Self::Compositions),
            "nouns-activities" => Ok(Self::NounsActivities),
            "counting" => Ok(Self::Counting { max_count: Self::MAX_COUNT }),
            _ => Err(Error::UnknownName {
                what: "kind of prompts",
                found: name.to_owned(),
                nearest: crate::config::nearest(name, known).map(String::from),
                known: known.map(String::from).to_vec(),
            }),
        }
    }

    /// `counting` up to `max_count`, when that is from 2 to [`PromptSource::MAX_COUNT`].
    pub fn counting(max_count: usize) -> Option<Self> {
        (2..=Self::MAX_COUNT).contains(&max_count).then_some(Self::Counting { max_count })
    }

    /// A list of prompts given in the option `key`.
    ///
    /// # Errors
    ///
    /// Fails when the list or one of its prompts is empty.
    pub fn list(key: &'static str, prompts: &[String]) -> Result<Self> {
        if prompts.is_empty() || prompts.iter().any(|prompt| prompt.trim().is_empty()) {
            return Err(Error::InvalidOption {
                key,
                found: format!("{prompts:?}"),
                expected: "at least one prompt, none of them empty".into(),
            });
        }
        Ok(Self::List(prompts.to_vec()))
    }

    /// Every prompt there is, in a fixed order.
    ///
    /// # Errors
    ///
    /// Fails when a file is missing, is not text or has no prompt in the lines asked for.
    pub fn load(&self) -> Result<PromptList> {
        let texts = match self {
            Self::SimpleAnimals => ANIMALS.map(String::from).to_vec(),
            Self::ImagenetAnimals => IMAGENET_ANIMALS.map(String::from).to_vec(),
            Self::Compositions => compositions(),
            Self::NounsActivities => nouns_activities(&ANIMALS),
            Self::Counting { max_count } => counting(&ANIMALS, *max_count),
            Self::File { path, start, end } => return read_file(path, *start, *end),
            Self::Pairs(path) => {
                let mut known = BTreeSet::new();
                let prompts = read_pairs(path)?.into_iter().map(|pair| pair.prompt);
                prompts.filter(|prompt| known.insert(prompt.clone())).collect()
            }
            Self::List(prompts) => prompts.clone(),
        };
        Ok(texts.into())
    }
}

fn read_file(path: &Path, start: usize, end: Option<usize>) -> Result<PromptList> {
    let text = crate::images::read_text(path)?;
    // Editors on Windows put a mark before the first letter.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    // Lines end as they do for Python: also as on old Macs.
    let text = &text.replace("\r\n", "\n").replace('\r', "\n");
    let (rows, found, unit) = match Layout::of(path, text)? {
        Layout::Lines => {
            let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.starts_with('#'));
            (lines.map(|(number, line)| Row::of_text(number, line)).collect(), text.lines().count(), "line")
        }
        Layout::JsonLines => (json_lines(path, text)?, text.lines().count(), "line"),
        Layout::Table { separator } => {
            let rows = table(path, text, separator)?;
            let found = rows.len();
            (rows, found, "row")
        }
    };
    let stop = end.unwrap_or(found).min(found);
    let prompts: PromptList = (rows.into_iter())
        .filter(|row| (start..stop).contains(&row.number) && !row.prompt.is_empty())
        .map(|row| (row.prompt, Arc::new(row.metadata)))
        .collect();
    if prompts.is_empty() {
        let range =
            if start > 0 || stop < found { format!(" from {unit} {start} to before {stop}") } else { String::new() };
        let found = match found {
            1 => format!("1 {unit} and no prompt in it"),
            found => format!("{found} {unit}s and no prompt in them"),
        };
        return Err(Error::NoPrompts { reason: format!("{} has {found}{range}", path.display()) });
    }
    Ok(prompts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("prompts.txt");
        std::fs::write(&path, text).unwrap();
        (directory, path)
    }

    #[test]
    fn a_file_is_sliced_by_lines() {
        let (_directory, path) = file(b"a\nb\r\n\n  d \n");
        let load = |start, end| PromptSource::File { path: path.clone(), start, end }.load();
        assert_eq!(load(0, None).unwrap().texts, ["a", "b", "d"]);
        assert_eq!(load(1, Some(3)).unwrap().texts, ["b"]);
        assert_eq!(load(1, Some(99)).unwrap().texts, ["b", "d"]);
        let error = load(2, Some(3)).unwrap_err().to_string();
        assert!(error.ends_with("prompts.txt has 4 lines and no prompt in them from line 2 to before 3"), "{error}");
    }

    #[test]
    fn comments_blank_lines_and_marks_are_no_prompts() {
        let (_directory, path) = file("\u{feff}# animals\r\na cat\r\n\r\n  # not yet\r\na dog, #2\r\na cat".as_bytes());
        let load = |start, end| PromptSource::File { path: path.clone(), start, end }.load();
        assert_eq!(load(0, None).unwrap().texts, ["a cat", "a dog, #2", "a cat"]);
        // Lines are counted as an editor counts them.
        assert_eq!(load(4, Some(5)).unwrap().texts, ["a dog, #2"]);
        let (_directory, path) = file("\u{feff}a cat".as_bytes());
        assert_eq!(PromptSource::File { path, start: 0, end: None }.load().unwrap().texts, ["a cat"]);
        let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        for bytes in [units("\u{feff}a cat\r\n猫\r\n"), "a cat\r猫\r".as_bytes().to_vec()] {
            let (_directory, path) = file(&bytes);
            assert_eq!(PromptSource::File { path, start: 0, end: None }.load().unwrap().texts, ["a cat", "猫"]);
        }
        let (_directory, path) = file(b"# nothing\n");
        let error = PromptSource::File { path, start: 0, end: None }.load().unwrap_err().to_string();
        assert!(error.ends_with("prompts.txt has 1 line and no prompt in it"), "{error}");
    }

    #[test]
    fn missing_empty_and_binary_files_are_errors() {
        let load = |path: &PathBuf| PromptSource::File { path: path.clone(), start: 0, end: None }.load();
        let missing = load(&PathBuf::from("/no/such/prompts.txt")).unwrap_err().to_string();
        assert!(missing.contains("/no/such/prompts.txt"), "{missing}");
        let (_directory, path) = file(b"");
        assert!(load(&path).unwrap_err().to_string().ends_with("has 0 lines and no prompt in them"));
        let (_directory, path) = file(b"ok\n\xff\xfe");
        assert!(load(&path).unwrap_err().to_string().ends_with("prompts.txt: it is not UTF-8 text at byte 3"));
    }

    #[test]
    fn unknown_kinds_name_the_nearest() {
        let error = PromptSource::named("simple-animal").unwrap_err().to_string();
        assert!(error.contains("(did you mean `simple-animals`?)"), "{error}");
    }
}
