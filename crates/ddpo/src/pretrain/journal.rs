//! The run directory of a pretraining: its recipe, its metrics, and one resumable state for each stage.

use std::path::{Path, PathBuf};

use ddpo_train::NamedTensor;
use ddpo_train::fs::{self, LineFile, RunLock};
use serde::Serialize;

use super::recipe::PretrainConfig;
use super::stage::Stage;
use crate::{Error, Result};

const RECIPE: &str = "recipe.json";
const METRICS: &str = "metrics.jsonl";
/// The tensors of a state file that are counters: the steps taken, and the length of the metrics in bytes.
const STEP: &str = "step";
const METRICS_LENGTH: &str = "metrics-length";

/// An open run directory.
pub(super) struct Journal {
    directory: PathBuf,
    metrics: LineFile,
    _lock: RunLock,
}

impl Journal {
    /// Opens `directory`, which must be new unless `resume`, and must then hold a run of the same recipe.
    pub(super) fn open(directory: &Path, config: &PretrainConfig, resume: bool) -> Result<Self> {
        fs::create_directory(directory)?;
        let lock = RunLock::acquire(directory)?;
        let recipe = serde_json::to_vec_pretty(config).map_err(|source| Error::Json { what: "the recipe", source })?;
        match (fs::read_optional(&directory.join(RECIPE))?, resume) {
            (Some(_), false) => return Err(refuse(directory, "it holds a run already (resume it, or choose another)")),
            (Some(found), true) if found != recipe => {
                return Err(refuse(directory, "its recipe.json differs from the recipe asked for"));
            }
            _ => fs::write_atomic(&directory.join(RECIPE), &recipe)?,
        }
        let length = metrics_length(directory)?;
        let metrics = LineFile::resume(&directory.join(METRICS), length)?;
        Ok(Self { directory: directory.to_owned(), metrics, _lock: lock })
    }

    /// Appends one line to the metrics.
    pub(super) fn record(&mut self, line: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|source| Error::Json { what: "a line of metrics", source })?;
        bytes.push(b'\n');
        Ok(self.metrics.append(&bytes)?)
    }

    /// Saves the state of the stage called `name`.
    pub(super) fn save(&mut self, name: &str, stage: &Stage) -> Result<()> {
        let mut tensors = stage.export()?;
        let length = self.metrics.sync()?;
        tensors.push(counter(STEP, stage.step_number()));
        tensors.push(counter(METRICS_LENGTH, length));
        let bytes = NamedTensor::serialize(&tensors)?;
        Ok(fs::write_atomic(&state_path(&self.directory, name), &bytes)?)
    }

    /// Puts the saved state of the stage called `name` into `stage`, if there is one.
    pub(super) fn restore(&self, name: &str, stage: &mut Stage) -> Result<()> {
        match read_state(&self.directory, name)? {
            Some(tensors) => stage.import(read_counter(&tensors, STEP)?, &tensors),
            None => Ok(()),
        }
    }
}

/// The names of the stages' states.
pub(super) const STAGES: [&str; 4] = ["autoencoder", "denoiser", "judge", "decoder"];

fn metrics_length(directory: &Path) -> Result<u64> {
    let mut length = 0;
    for name in STAGES {
        if let Some(tensors) = read_state(directory, name)? {
            length = length.max(read_counter(&tensors, METRICS_LENGTH)?);
        }
    }
    Ok(length)
}

fn state_path(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.safetensors"))
}

fn read_state(directory: &Path, name: &str) -> Result<Option<Vec<NamedTensor>>> {
    match fs::read_optional(&state_path(directory, name))? {
        Some(bytes) => Ok(Some(NamedTensor::deserialize(&bytes)?)),
        None => Ok(None),
    }
}

/// A counter as two f32 digits in base 2²⁰, which keep integers up to 2⁴⁰ exactly.
fn counter(name: &str, value: u64) -> NamedTensor {
    NamedTensor { name: name.into(), values: vec![(value >> 20) as f32, (value & 0xf_ffff) as f32] }
}

fn read_counter(tensors: &[NamedTensor], name: &str) -> Result<u64> {
    let digits = &NamedTensor::find(tensors, name, 2)?.values;
    Ok(((digits[0] as u64) << 20) | digits[1] as u64)
}

fn refuse(directory: &Path, reason: &str) -> Error {
    Error::RunDirectory { path: directory.to_owned(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_survive_a_float() {
        for value in [0, 1, 0xf_ffff, 0x10_0000, 123_456_789_012] {
            assert_eq!(read_counter(&[counter("step", value)], "step").unwrap(), value);
        }
    }

    #[test]
    fn another_recipe_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let config = PretrainConfig::default();
        drop(Journal::open(directory.path(), &config, false).unwrap());
        assert!(Journal::open(directory.path(), &config, false).is_err());
        drop(Journal::open(directory.path(), &config, true).unwrap());
        let other = PretrainConfig { seed: 9, ..config };
        assert!(Journal::open(directory.path(), &other, true).is_err());
    }
}
