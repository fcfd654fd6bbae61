//! Reads `metrics.jsonl` back.

use std::path::Path;

use ddpo_train::{
    AnchorRecord, CorrectionRecord, DistillationRecord, EpochRecord, EvalRecord, PreferenceRecord, Record,
    RegressionRecord, RunRecord, UpdateRecord,
};

use crate::error::{Error, Result};

/// Everything `metrics.jsonl` holds, in the order it was written.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Records {
    /// What the run is; none in a file of a version before there was such a line.
    pub run: Option<RunRecord>,
    /// Training samples, an entry an epoch.
    pub epochs: Vec<EpochRecord>,
    /// Optimizer steps.
    pub updates: Vec<UpdateRecord>,
    /// Steps of a weighted regression.
    pub regressions: Vec<RegressionRecord>,
    /// Steps of a regression on corrected targets.
    pub corrections: Vec<CorrectionRecord>,
    /// Steps of a distillation.
    pub distillations: Vec<DistillationRecord>,
    /// Steps on given pairs.
    pub preferences: Vec<PreferenceRecord>,
    /// The anchor beside steps of any kind.
    pub anchors: Vec<AnchorRecord>,
    /// Evaluations.
    pub evals: Vec<EvalRecord>,
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
            let record = Record::from_line(line);
            let record = record.map_err(|source| Error::Metrics { path: path.to_owned(), line: number + 1, source })?;
            records.extend(record);
        }
        Ok(records)
    }

    /// The evaluation that has ended the run, which has handed back an earlier state.
    pub fn ended_by(&self) -> Option<&EvalRecord> {
        self.evals.last().filter(|last| last.product_epoch.is_some())
    }

    /// The evaluations up to the product's, which is the last one unless one has ended the run: then it is the best before.
    pub fn up_to_product(&self) -> &[EvalRecord] {
        let product = self.ended_by().and_then(|end| end.product_epoch);
        let place = product.and_then(|epoch| self.evals.iter().rposition(|eval| eval.epoch == epoch));
        place.map_or(&self.evals, |place| &self.evals[..=place])
    }

    /// Whether evaluation uses prompts that training never does; `None` where the file does not say.
    pub fn has_unseen_prompts(&self) -> Option<bool> {
        self.run.as_ref().map(|run| run.prompts.disjoint)
    }
}

impl Extend<Record> for Records {
    fn extend<T: IntoIterator<Item = Record>>(&mut self, records: T) {
        for record in records {
            match record {
                Record::Run(run) => self.run = Some(*run),
                Record::Epoch(epoch) => self.epochs.push(epoch),
                Record::Update(update) => self.updates.push(update),
                Record::Regression(step) => self.regressions.push(step),
                Record::Correction(step) => self.corrections.push(step),
                Record::Distillation(step) => self.distillations.push(step),
                Record::Preference(step) => self.preferences.push(step),
                Record::Anchor(step) => self.anchors.push(step),
                Record::Eval(eval) => self.evals.push(eval),
            }
        }
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
    fn every_kind_and_a_torn_last_line() {
        let records = read(concat!(
            "{\"kind\":\"run\",\"schema\":1,\"prompts\":{\"disjoint\":true}}\n",
            "{\"kind\":\"eval\",\"epoch\":0,\"reward_mean\":-1.5,\"held_out\":{\"x\":2},\"kl_to_base\":0,\"diversity\":0.5}\n",
            "{\"kind\":\"epoch\",\"epoch\":1,\"reward_mean\":-1.25,\"new_field\":1}\n",
            "{\"kind\":\"update\",\"epoch\":1,\"step\":1,\"loss\":0.5}\n",
            "{\"kind\":\"later-version\"}\n",
            "{\"kind\":\"epoch\",\"epo",
        ))
        .unwrap();
        assert_eq!((records.epochs.len(), records.updates.len(), records.evals.len()), (1, 1, 1));
        assert_eq!(records.evals[0].held_out["x"], 2.0);
        assert_eq!(records.has_unseen_prompts(), Some(true));
        assert_eq!(read("").unwrap().has_unseen_prompts(), None);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error =
            read("{\"kind\":\"update\",\"epoch\":1,\"step\":1,\"loss\":0.5}\nnonsense\n").unwrap_err().to_string();
        assert!(error.ends_with("metrics.jsonl, line 2"), "{error}");
    }
}
