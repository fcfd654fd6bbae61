//! A run as its directory tells it.

use std::path::Path;

use ddpo_train::{EvalRecord, RunRecord};
use toml::Table;

use super::estimate::Estimate;
use super::grid::Grid;
use super::records::Records;
use crate::RunDirectory;
use crate::error::{Error, Result};

/// Everything a page says of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct ReportRun {
    /// The directory's name.
    pub name: String,
    /// Its metrics.
    pub records: Records,
    /// Its configuration, where it can be read; of any version.
    pub config: Option<Table>,
    /// The same as text.
    pub config_text: String,
    /// The sample grids, by epoch.
    pub grids: Vec<Grid>,
    /// Names of files that should be grids and are none.
    pub damaged: Vec<String>,
}

impl ReportRun {
    /// Reads a run directory.
    ///
    /// # Errors
    ///
    /// Fails when the directory holds no run, or a file cannot be read.
    pub fn read(directory: &Path) -> Result<Self> {
        let metrics = directory.join("metrics.jsonl");
        let missing = || (!metrics.is_file()).then_some("it has no metrics.jsonl");
        if let Some(reason) = crate::paths::why_no_directory(directory).or_else(missing) {
            return Err(Error::NotARun { path: directory.to_owned(), reason });
        }
        let config = ddpo_train::fs::read_optional(&directory.join(RunDirectory::CONFIG))?.unwrap_or_default();
        let config_text = String::from_utf8_lossy(&config).into_owned();
        let (grids, damaged) = Grid::read_all(&directory.join("samples"))?;
        let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
        Ok(Self {
            name: absolute.file_name().unwrap_or(absolute.as_os_str()).to_string_lossy().into_owned(),
            records: Records::read(&metrics)?,
            config: config_text.parse().ok().filter(|_| !config_text.is_empty()),
            config_text,
            grids,
            damaged,
        })
    }

    /// The run record, where the file has one.
    pub fn record(&self) -> Option<&RunRecord> {
        self.records.run.as_ref()
    }

    /// Whether it has tasks, an epoch each in turns.
    pub fn has_tasks(&self) -> bool {
        self.record().is_some_and(|record| !record.tasks.is_empty())
    }

    /// The unit of the optimised reward.
    pub fn unit(&self) -> Option<&str> {
        self.record()?.reward.unit.as_deref()
    }

    /// The unit of a reward that is not optimised.
    pub fn unit_of(&self, held_out: &str) -> Option<&str> {
        self.record()?.held_out.iter().find(|reward| reward.name == held_out)?.unit.as_deref()
    }

    /// The prompts of evaluation, as far as they are known.
    pub fn prompts(&self) -> &[String] {
        self.record().map_or(&[], |run| &run.prompts.evaluation)
    }

    /// Half the width of the 95 % interval of an evaluation's reward, where its samples are recorded.
    pub fn half(&self, rewards: &[f32]) -> Option<f64> {
        let values: Vec<f64> = rewards.iter().map(|&reward| f64::from(reward)).collect();
        Some(Estimate::over_prompts(&values, self.prompts().len()).half).filter(|half| half.is_finite())
    }

    /// [How much better](Estimate::of_gain) an evaluation is than another.
    pub fn gain(&self, from: &EvalRecord, to: &EvalRecord) -> Option<Estimate> {
        Estimate::of_gain(&from.rewards, &to.rewards, self.prompts().len())
    }

    /// Epochs done, and how many were asked for last.
    pub fn epochs(&self) -> (u64, Option<u64>) {
        let done = self.records.epochs.last().map_or(0, |epoch| epoch.epoch);
        let asked = self.config.as_ref().and_then(|config| config.get("run")?.get("epochs")?.as_integer());
        let asked = asked.and_then(|epochs| u64::try_from(epochs).ok());
        (done, asked.or(self.record().map(|run| run.epochs)))
    }

    /// Seconds of sampling, scoring, training and evaluating.
    pub fn seconds(&self) -> [f64; 4] {
        let epochs = |value: fn(&ddpo_train::EpochRecord) -> f64| self.records.epochs.iter().map(value).sum::<f64>();
        [
            epochs(|epoch| epoch.sample_seconds),
            epochs(|epoch| epoch.reward_seconds),
            epochs(|epoch| epoch.train_seconds),
            self.records.evals.iter().map(|eval| eval.eval_seconds).sum(),
        ]
    }

    /// The command that repeats the run as it now is: with what it went on with, where it was resumed.
    pub fn command(&self) -> Option<String> {
        let config = toml::from_str::<crate::RunConfig>(&self.config_text).ok().filter(|_| self.config.is_some());
        config.map(|config| crate::config::command(&config)).or(self.record().map(|run| run.command.clone()))
    }
}
