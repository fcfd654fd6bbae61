//! `answers.jsonl`: what rewards say of pictures in words, for people.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::Tracker;
use crate::error::Result;
use crate::events::{Event, Remarks, Stage};
use crate::fs::LineFile;

/// Writes every remark as a line of JSON. There is no file before the first.
#[derive(Debug)]
pub struct Answers {
    path: PathBuf,
    file: Option<LineFile>,
}

impl Answers {
    /// The file's name in a run directory, and the tracker's.
    pub const NAME: &'static str = "answers.jsonl";

    /// Of a run that begins in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self { path: directory.join(Self::NAME), file: None }
    }

    /// Goes on with the file in `directory`, cut back to the `length` a checkpoint recorded.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the path, [`Error::FileTooShort`](crate::Error::FileTooShort).
    pub fn resume(directory: &Path, length: u64) -> Result<Self> {
        let answers = Self::new(directory);
        // A file of which no checkpoint knows is begun again by the first remark.
        let file = (length > 0).then(|| LineFile::resume(&answers.path, length)).transpose()?;
        Ok(Self { file, ..answers })
    }

    fn write(&mut self, remarks: &Remarks<'_>) -> Result<()> {
        let mut lines = String::new();
        for remark in remarks.remarks {
            let line = json!({
                "epoch": remarks.epoch,
                "of": if remarks.stage == Stage::Evaluating { "evaluation" } else { "training" },
                "sample": remark.sample,
                "reward": remarks.reward,
                "prompt": remark.prompt,
                "answer": remark.text,
                "value": remark.value,
            });
            lines += &format!("{line}\n");
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(LineFile::create(&self.path)?),
        };
        file.append(lines.as_bytes())
    }
}

impl Tracker for Answers {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        if let Event::Remarks(remarks) = event { self.write(remarks) } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<Option<u64>> {
        self.file.as_mut().map(LineFile::sync).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Remark;

    #[test]
    fn a_line_is_an_answer_and_a_resumed_file_has_each_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(Answers::NAME);
        let remarks = [Remark { sample: 3, prompt: "a fox".into(), value: 0.5, text: "a \"dog\"".into() }];
        let event =
            |epoch| Event::Remarks(Remarks { reward: "alignment", epoch, stage: Stage::Sampling, remarks: &remarks });
        let mut answers = Answers::new(directory.path());
        assert_eq!((answers.sync().unwrap(), path.exists()), (None, false));
        answers.record(&event(1)).unwrap();
        let length = answers.sync().unwrap().unwrap();
        answers.record(&event(2)).unwrap();
        drop(answers);
        let mut answers = Answers::resume(directory.path(), length).unwrap();
        answers.record(&event(2)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let line = |epoch| {
            format!(
                "{{\"epoch\":{epoch},\"of\":\"training\",\"sample\":3,\"reward\":\"alignment\",\"prompt\":\"a fox\",\
                 \"answer\":\"a \\\"dog\\\"\",\"value\":0.5}}\n"
            )
        };
        assert_eq!(text, line(1) + &line(2));
        let mut answers = Answers::resume(directory.path(), 0).unwrap();
        answers.record(&event(1)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), line(1));
    }
}
