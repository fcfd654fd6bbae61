//! Reads `metrics.jsonl` back.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::error::{Error, Result};

/// What an epoch's training samples earned and cost.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// From 1.
    pub epoch: u64,
    /// Images scored since the start.
    #[serde(default)]
    pub reward_queries: u64,
    /// Mean reward of the epoch's samples.
    pub reward_mean: f64,
    /// Standard deviation of the rewards.
    #[serde(default)]
    pub reward_std: f64,
    /// Seconds of sampling.
    #[serde(default)]
    pub sample_seconds: f64,
    /// Seconds of scoring.
    #[serde(default)]
    pub reward_seconds: f64,
    /// Seconds of updating.
    #[serde(default)]
    pub train_seconds: f64,
}

/// One optimizer step.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct UpdateRecord {
    /// From 1.
    pub epoch: u64,
    /// From 1.
    pub step: u64,
    /// The objective's loss.
    pub loss: f64,
    /// Half the mean squared change of the log-probabilities.
    #[serde(default)]
    pub approx_kl: f64,
    /// Share of ratios outside the clip range.
    #[serde(default)]
    pub clip_fraction: f64,
    /// Largest distance of a ratio from 1.
    #[serde(default)]
    pub ratio_max_deviation: f64,
    /// Gradient norm before clipping.
    #[serde(default)]
    pub grad_norm: f64,
}

/// One step of a weighted regression.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct RegressionRecord {
    /// From 1.
    pub epoch: u64,
    /// From 1.
    pub step: u64,
    /// The weighted denoising error.
    pub loss: f64,
    /// Gradient norm before clipping.
    #[serde(default)]
    pub grad_norm: f64,
}

/// One evaluation on prompts and seeds that training never uses.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct EvalRecord {
    /// 0: the base model.
    pub epoch: u64,
    /// Mean of the optimised reward.
    pub reward_mean: f64,
    /// Means of the rewards that are not optimised.
    #[serde(default)]
    pub held_out: BTreeMap<String, f64>,
    /// Divergence from the base model, in nats a trajectory.
    #[serde(default)]
    pub kl_to_base: Option<f64>,
    /// How much images of one prompt differ.
    #[serde(default)]
    pub diversity: Option<f64>,
    /// The share of prompts whose mean reward is above the base model's.
    #[serde(default)]
    pub improved: Option<f64>,
}

/// Everything `metrics.jsonl` holds, in the order it was written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Records {
    /// Training samples, an entry an epoch.
    pub epochs: Vec<EpochRecord>,
    /// Optimizer steps.
    pub updates: Vec<UpdateRecord>,
    /// Steps of a weighted regression.
    pub regressions: Vec<RegressionRecord>,
    /// Evaluations.
    pub evals: Vec<EvalRecord>,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Record {
    Epoch(EpochRecord),
    Update(UpdateRecord),
    Regression(RegressionRecord),
    Eval(EvalRecord),
    #[serde(other)]
    Other,
}

impl Records {
    /// Reads a `metrics.jsonl`. A last line without an end is a run that was killed, and is left out.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read; names the first line that is not a record.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = ddpo_train::fs::read(path)?;
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let mut records = Self::default();
        for (number, line) in whole.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record = serde_json::from_str(line).map_err(|source| Error::Metrics {
                path: path.to_owned(),
                line: number + 1,
                source,
            })?;
            match record {
                Record::Epoch(epoch) => records.epochs.push(epoch),
                Record::Update(update) => records.updates.push(update),
                Record::Regression(step) => records.regressions.push(step),
                Record::Eval(eval) => records.evals.push(eval),
                Record::Other => {}
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Records> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.jsonl");
        std::fs::write(&path, text).unwrap();
        Records::read(&path)
    }

    #[test]
    fn the_three_kinds_and_a_torn_last_line() {
        let records = read(concat!(
            "{\"kind\":\"eval\",\"epoch\":0,\"reward_mean\":-1.5,\"held_out\":{\"x\":2},\"kl_to_base\":0,\"diversity\":0.5}\n",
            "{\"kind\":\"epoch\",\"epoch\":1,\"reward_mean\":-1.25,\"new_field\":1}\n",
            "{\"kind\":\"update\",\"epoch\":1,\"step\":1,\"loss\":0.5}\n",
            "{\"kind\":\"later-version\"}\n",
            "{\"kind\":\"epoch\",\"epo",
        ))
        .unwrap();
        assert_eq!((records.epochs.len(), records.updates.len(), records.evals.len()), (1, 1, 1));
        assert_eq!(records.evals[0].held_out["x"], 2.0);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error =
            read("{\"kind\":\"update\",\"epoch\":1,\"step\":1,\"loss\":0.5}\nnonsense\n").unwrap_err().to_string();
        assert!(error.ends_with("metrics.jsonl, line 2"), "{error}");
    }
}
