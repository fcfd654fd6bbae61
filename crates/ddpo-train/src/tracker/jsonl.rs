//! `metrics.jsonl`: one JSON object a line.

use std::path::Path;

use super::Tracker;
use crate::error::{Error, Result};
use crate::events::Event;
use crate::fs::LineFile;

/// Writes every record as a line of JSON.
#[derive(Debug)]
pub struct JsonLines {
    file: LineFile,
}

impl JsonLines {
    /// The file's name in a run directory, and the tracker's.
    pub const NAME: &'static str = "metrics.jsonl";

    /// Starts an empty file in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn create(directory: &Path) -> Result<Self> {
        Ok(Self { file: LineFile::create(&directory.join(Self::NAME))? })
    }

    /// Goes on with the file in `directory`, cut back to the `length` a checkpoint recorded.
    ///
    /// # Errors
    /// [`Error::Io`] with the path, [`Error::FileTooShort`].
    pub fn resume(directory: &Path, length: u64) -> Result<Self> {
        Ok(Self { file: LineFile::resume(&directory.join(Self::NAME), length)? })
    }
}

impl Tracker for JsonLines {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Record(record) = event else { return Ok(()) };
        let mut line = serde_json::to_vec(record).map_err(|e| Error::Encoding(e.to_string()))?;
        line.push(b'\n');
        self.file.append(&line)
    }

    fn sync(&mut self) -> Result<Option<u64>> {
        self.file.sync().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EvalRecord, Record};

    #[test]
    fn a_resumed_file_has_each_line_once() {
        let directory = tempfile::tempdir().unwrap();
        let eval = |epoch| Record::Eval(EvalRecord { epoch, ..Default::default() });
        let mut lines = JsonLines::create(directory.path()).unwrap();
        lines.record(&Event::Record(&eval(0))).unwrap();
        let length = lines.sync().unwrap().unwrap();
        lines.record(&Event::Record(&eval(1))).unwrap();
        drop(lines);
        let mut lines = JsonLines::resume(directory.path(), length).unwrap();
        lines.record(&Event::Record(&eval(1))).unwrap();
        let text = std::fs::read_to_string(directory.path().join(JsonLines::NAME)).unwrap();
        let epochs: Vec<_> =
            text.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["epoch"].clone()).collect();
        assert_eq!(epochs, [0, 1]);
    }
}
