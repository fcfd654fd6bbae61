//! Prompts out of files that say more than a line does: JSON Lines, and tables of comma- or tab-separated values.

use std::path::Path;

use ddpo_core::PromptMetadata;
use serde_json::Value;

use crate::error::{Error, Result};

/// The field or column of the prompts.
const FIELD: &str = "prompt";

/// How a file of prompts is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A prompt a line.
    Lines,
    /// An object a line, with a field `prompt`.
    JsonLines,
    /// Rows below a header, with a column `prompt`.
    Table {
        /// What is between two values.
        separator: char,
    },
}

/// Endings of files that are none of these layouts, though they may hold prompts.
const OTHERS: [&str; 16] = [
    "json", "parquet", "arrow", "yaml", "yml", "toml", "xml", "html", "xlsx", "xls", "ods", "py", "zip", "gz", "zst",
    "pkl",
];

impl Layout {
    /// The layout that a file's name says, if its text does not say another.
    ///
    /// # Errors
    ///
    /// Fails on a name of another kind of file, and on a text that is JSON under a name that says nothing of it.
    pub(super) fn of(path: &Path, text: &str) -> Result<Self> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        let layout = match ending.as_str() {
            "jsonl" | "ndjson" => Self::JsonLines,
            "csv" => Self::Table { separator: ',' },
            "tsv" => Self::Table { separator: '\t' },
            other if OTHERS.contains(&other) => {
                return Err(refuse(path, &format!("a file `.{other}` found, {WANTED}")));
            }
            _ => Self::Lines,
        };
        let first = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let is_json = |text: &str| matches!(serde_json::from_str(text), Ok(Value::Object(_) | Value::Array(_)));
        if layout == Self::Lines && (is_json(first) || (first.starts_with(['{', '[']) && is_json(text))) {
            return Err(refuse(path, &format!("JSON found, which could be read as lines or as objects; {WANTED}")));
        }
        Ok(layout)
    }
}

const WANTED: &str = "wanted a text with a prompt a line, JSON Lines (.jsonl) with a field `prompt`, or a table (.csv, .tsv) with a \
                      column `prompt`";

fn refuse(path: &Path, reason: &str) -> Error {
    Error::NoPrompts { reason: format!("cannot read prompts of {}: {reason}", path.display()) }
}

/// A prompt of a file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Its line or row, from 0.
    pub number: usize,
    /// Its text, without the space around it.
    pub prompt: String,
    /// What the file says of it besides.
    pub metadata: PromptMetadata,
}

impl Row {
    /// A text of which no more is known.
    pub(super) fn of_text(number: usize, text: &str) -> Self {
        Self { number, prompt: text.trim().to_owned(), metadata: PromptMetadata::new() }
    }
}

/// The prompts of JSON Lines. Blank lines are none; other fields are metadata.
///
/// # Errors
///
/// Fails on a line that is no object, or has no text in the field `prompt`.
pub(super) fn json_lines(path: &Path, text: &str) -> Result<Vec<Row>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let prompt = |(number, line): (usize, &str)| {
        let at = |reason: String| refuse(path, &format!("line {}: {reason}", number + 1));
        let value: Value = serde_json::from_str(line).map_err(|error| at(format!("no JSON, {error}")))?;
        let mut metadata = if let Value::Object(fields) = value { fields } else { PromptMetadata::new() };
        match metadata.shift_remove(FIELD) {
            Some(Value::String(prompt)) => Ok(Row { metadata, ..Row::of_text(number, &prompt) }),
            found => {
                let found = found.map_or_else(|| "nothing".to_owned(), |value| value.to_string());
                Err(at(format!("{found} found in the field `{FIELD}`, a text wanted")))
            }
        }
    };
    lines.map(prompt).collect()
}

/// The prompts of a table by row below the header. Values may be quoted, with quotes doubled inside (RFC 4180). Other columns are
/// metadata, as texts; those without a name, or with a name that another has as well, are not.
///
/// # Errors
///
/// Fails without a column `prompt`, on a row of another number of values, and on a quote that is not closed.
pub(super) fn table(path: &Path, text: &str, separator: char) -> Result<Vec<Row>> {
    let mut rows = rows(text, separator).map_err(|reason| refuse(path, &reason))?.into_iter();
    let header = rows.next().unwrap_or_default();
    let columns: Vec<usize> =
        (0..header.len()).filter(|column| header[*column].trim().eq_ignore_ascii_case(FIELD)).collect();
    let &[column] = columns.as_slice() else {
        let reason = format!("columns {} found, one of them named `{FIELD}` wanted", header.join(", "));
        return Err(refuse(path, &reason));
    };
    let is_named = |&other: &usize| {
        let name = header[other].trim();
        other != column && !name.is_empty() && header.iter().filter(|found| found.trim() == name).count() == 1
    };
    let named: Vec<usize> = (0..header.len()).filter(is_named).collect();
    let prompt = |(number, row): (usize, Vec<String>)| match row.get(column) {
        Some(prompt) if row.len() == header.len() => {
            let field = |&other: &usize| (header[other].trim().to_owned(), row[other].as_str().into());
            Ok(Row { metadata: named.iter().map(field).collect(), ..Row::of_text(number, prompt) })
        }
        _ => {
            let reason =
                format!("row {} below the header has {} values, wanted {}", number + 1, row.len(), header.len());
            Err(refuse(path, &reason))
        }
    };
    rows.enumerate().map(prompt).collect()
}

/// Rows of values; blank lines are none.
fn rows(text: &str, separator: char) -> std::result::Result<Vec<Vec<String>>, String> {
    let (mut rows, mut row, mut value) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut was_quoted) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                value.push('"');
            }
            '"' if is_quoted => is_quoted = false,
            _ if is_quoted => value.push(character),
            '"' if value.is_empty() && !was_quoted => (is_quoted, was_quoted) = (true, true),
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' => {
                end_row(&mut rows, &mut row, &mut value, was_quoted);
                was_quoted = false;
            }
            _ if character == separator => {
                row.push(std::mem::take(&mut value));
                was_quoted = false;
            }
            _ => value.push(character),
        }
    }
    if is_quoted {
        return Err(format!("row {} has a quote that is not closed", rows.len() + 1));
    }
    end_row(&mut rows, &mut row, &mut value, was_quoted);
    Ok(rows)
}

fn end_row(rows: &mut Vec<Vec<String>>, row: &mut Vec<String>, value: &mut String, was_quoted: bool) {
    if !row.is_empty() || !value.is_empty() || was_quoted {
        row.push(std::mem::take(value));
        rows.push(std::mem::take(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, text: &str, expected: &[(&str, &str)]) {
        let path = Path::new(name);
        let found = match Layout::of(path, text).unwrap() {
            Layout::JsonLines => json_lines(path, text),
            Layout::Table { separator } => table(path, text, separator),
            Layout::Lines => panic!("lines"),
        };
        let row = |row: Row| (row.prompt, Value::from(row.metadata).to_string());
        let rows: Vec<(String, String)> = found.unwrap().into_iter().map(row).collect();
        assert_eq!(
            rows,
            expected.iter().map(|(text, known)| (text.to_string(), known.to_string())).collect::<Vec<_>>()
        );
    }

    #[track_caller]
    fn refused(name: &str, text: &str, reason: &str) {
        let path = Path::new(name);
        let read = || match Layout::of(path, text)? {
            Layout::JsonLines => json_lines(path, text),
            Layout::Table { separator } => table(path, text, separator),
            Layout::Lines => panic!("lines"),
        };
        let error = read().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(reason), "{error}");
    }

    #[test]
    fn objects_have_their_prompts() {
        check(
            "p.jsonl",
            "{\"tag\": \"x\", \"prompt\": \"a red cat \"}\r\n\n{\"prompt\": \"a \\\"b\\\"\"}",
            &[("a red cat", "{\"tag\":\"x\"}"), ("a \"b\"", "{}")],
        );
        refused("p.jsonl", "{\"prompt\": \"a\"}\n{\"text\": \"b\"}\n", "line 2: nothing found in the field `prompt`");
        refused("p.jsonl", "{\"prompt\": [1]}\n", "line 1: [1] found in the field `prompt`, a text wanted");
        refused("p.jsonl", "a cat\n", "line 1: no JSON");
        refused("p.jsonl", "[1]\n", "line 1: nothing found in the field `prompt`");
    }

    #[test]
    fn tables_have_their_prompts() {
        check(
            "p.csv",
            "tag,Prompt\r\nx,a cat\r\n\r\ny,\"a, \"\"b\"\"\nc\"\n",
            &[("a cat", "{\"tag\":\"x\"}"), ("a, \"b\"\nc", "{\"tag\":\"y\"}")],
        );
        check("p.tsv", "prompt\ttag\na, b\tx\n", &[("a, b", "{\"tag\":\"x\"}")]);
        // An index without a name, and a name that two columns have.
        check("p.csv", ",prompt,a,a,b\n0,cat,1,2,3\n", &[("cat", "{\"b\":\"3\"}")]);
        refused("p.csv", "text,tag\na,b\n", "columns text, tag found, one of them named `prompt` wanted");
        refused("p.csv", "prompt,tag\na, b, c\n", "row 1 below the header has 3 values, wanted 2");
        refused("p.csv", "prompt\n\"a\n", "a quote that is not closed");
        refused("p.csv", "prompt,prompt\na,b\n", "columns prompt, prompt found");
    }

    #[test]
    fn other_kinds_of_files_are_refused_by_name() {
        refused("p.json", "[\"a\"]", "a file `.json` found");
        refused("p.parquet", "PAR1", "a file `.parquet` found");
        refused("p.txt", "{\"prompt\": \"a\"}\n", "JSON found, which could be read as lines or as objects");
        refused("p", "[\n\"a\",\n\"b\"]", "JSON found");
        assert_eq!(Layout::of(Path::new("p.txt"), "[cat]\n{dog}\n").unwrap(), Layout::Lines);
    }
}
