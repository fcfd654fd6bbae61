//! Scores that are kept on the disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ddpo_core::Assessment;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What is known of a picture with its prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownScore {
    value: f32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<String, f32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

impl KnownScore {
    /// What was said of the image at `row`; none where it has no score.
    pub fn of(said: &Assessment, row: usize) -> Option<Self> {
        let value = said.values.get(row).copied().filter(|value| value.is_finite())?;
        let part = |(name, values): (&String, &Vec<f32>)| {
            Some((name.clone(), values.get(row).copied().filter(|value| value.is_finite())?))
        };
        let remarks = said.remarks.iter().filter(|(place, _)| *place == row).map(|(_, text)| text.clone()).collect();
        Some(Self { value, parts: said.parts.iter().filter_map(part).collect(), remarks })
    }

    /// The same of one image.
    pub fn into_assessment(self) -> Assessment {
        Assessment {
            values: vec![self.value],
            parts: self.parts.into_iter().map(|(name, value)| (name, vec![value])).collect(),
            remarks: self.remarks.into_iter().map(|text| (0, text)).collect(),
            ..Assessment::default()
        }
    }
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    key: String,
    #[serde(flatten)]
    score: KnownScore,
}

/// A file of scores by fingerprint, of one reward; every process that uses it adds lines.
pub struct ScoreFile {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    known: HashMap<u128, KnownScore>,
    file: File,
}

impl ScoreFile {
    /// The file of the reward with this identity in a directory, which is made where it is missing. Lines that are not whole, as a process
    /// that was killed leaves them, are passed over.
    pub fn open(directory: &Path, identity: &str) -> Result<Self> {
        let hash = identity
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
        let path = directory.join(format!("{hash:016x}.jsonl"));
        let failed = |source| Error::Cache { path: path.clone(), source };
        std::fs::create_dir_all(directory).map_err(failed)?;
        let file = OpenOptions::new().append(true).create(true).open(&path).map_err(failed)?;
        let text = std::fs::read(&path).map_err(failed)?;
        let known = String::from_utf8_lossy(&text).lines().filter_map(read_line).collect();
        let cache = Self { path: path.clone(), state: Mutex::new(State { known, file }) };
        if !text.is_empty() && !text.ends_with(b"\n") {
            cache.state().file.write_all(b"\n").map_err(failed)?;
        }
        Ok(cache)
    }

    /// What is known under a fingerprint.
    pub fn get(&self, key: u128) -> Option<KnownScore> {
        self.state().known.get(&key).cloned()
    }

    /// Keeps a score.
    pub fn put(&self, key: u128, score: KnownScore) -> Result<()> {
        let line = Line { key: format!("{key:032x}"), score };
        let mut text = serde_json::to_string(&line).unwrap_or_default();
        text.push('\n');
        let mut state = self.state();
        let written = state.file.write_all(text.as_bytes());
        state.known.insert(key, line.score);
        written.map_err(|source| Error::Cache { path: self.path.clone(), source })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_line(line: &str) -> Option<(u128, KnownScore)> {
    let Line { key, score } = serde_json::from_str(line).ok()?;
    Some((u128::from_str_radix(&key, 16).ok()?, score))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_outlive_the_process_and_belong_to_their_reward() {
        let folder = tempfile::tempdir().unwrap();
        let said = Assessment {
            values: vec![f32::NAN, 0.1],
            parts: [("recall".to_owned(), vec![0.2, 0.3])].into(),
            remarks: vec![(1, "a \"fox\"".to_owned())],
            ..Assessment::default()
        };
        assert_eq!(KnownScore::of(&said, 0), None);
        let known = KnownScore::of(&said, 1).unwrap();
        ScoreFile::open(folder.path(), "alignment").unwrap().put(7, known.clone()).unwrap();
        let path = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        // What a process that is killed leaves.
        OpenOptions::new().append(true).open(path).unwrap().write_all(b"{\"key\": \"0").unwrap();
        let again = ScoreFile::open(folder.path(), "alignment").unwrap();
        assert_eq!((again.get(7), again.get(8)), (Some(known.clone()), None));
        again.put(8, known.clone()).unwrap();
        assert_eq!(ScoreFile::open(folder.path(), "alignment").unwrap().get(8), Some(known.clone()));
        assert_eq!(ScoreFile::open(folder.path(), "another").unwrap().get(7), None);
        let said = known.into_assessment();
        assert_eq!((said.values, &said.parts["recall"][..], said.remarks.len()), (vec![0.1], &[0.3][..], 1));
    }
}
