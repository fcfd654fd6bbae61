//! `metrics.csv`: one measurement a row, which every spreadsheet and data frame can pivot.

use std::path::Path;

use super::Tracker;
use crate::error::Result;
use crate::events::Event;
use crate::fs::LineFile;

/// Writes `epoch,step,metric,value` rows.
#[derive(Debug)]
pub struct Csv {
    file: LineFile,
}

impl Csv {
    /// The file's name in a run directory, and the tracker's.
    pub const NAME: &'static str = "metrics.csv";

    /// Starts a file with a header in `directory`.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) with the path.
    pub fn create(directory: &Path) -> Result<Self> {
        let mut file = LineFile::create(&directory.join(Self::NAME))?;
        file.append(b"epoch,step,metric,value\n")?;
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

impl Tracker for Csv {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn record(&mut self, event: &Event<'_>) -> Result<()> {
        let Event::Record(record) = event else { return Ok(()) };
        let mut rows = String::new();
        for (metric, value) in record.scalars() {
            rows += &format!("{},{},{},{value}\n", record.epoch(), record.step(), quoted(&metric));
        }
        self.file.append(rows.as_bytes())
    }

    fn sync(&mut self) -> Result<Option<u64>> {
        self.file.sync().map(Some)
    }
}

/// The field, in quotes where a reward's name makes them necessary (RFC 4180).
fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{EvalRecord, Record};

    #[test]
    fn a_row_is_one_measurement_whatever_the_rewards_are_called() {
        let directory = tempfile::tempdir().unwrap();
        let held_out = [("exec:a,\"b\"".to_owned(), 0.5)].into();
        let record = Record::Eval(EvalRecord { epoch: 3, held_out, ..Default::default() });
        let mut csv = Csv::create(directory.path()).unwrap();
        csv.record(&Event::Record(&record)).unwrap();
        let text = std::fs::read_to_string(directory.path().join(Csv::NAME)).unwrap();
        assert!(text.starts_with("epoch,step,metric,value\n3,3,eval/reward_mean,0\n"), "{text}");
        assert!(text.ends_with("3,3,\"eval/held_out/exec:a,\"\"b\"\"\",0.5\n"), "{text}");
    }
}
