//! `ddpo evaluate --labels`: the share of samples whose nearest picture has the label they were drawn for.

use std::path::Path;

use anyhow::Result;
use ddpo::config::RunConfig;
use ddpo::images::{grid, write_png};
use ddpo::pretrain::{ImageFolder, LabelScore, fidelity, fidelity_request};
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, Sampled};
use serde_json::{Value, json};

use crate::progress::{line, stage_bar};

use super::adapters::Stacks;

/// The scores of the base model and, with an adapter, those of what it has become.
pub struct Labels {
    base: Vec<LabelScore>,
    tuned: Option<Vec<LabelScore>>,
}

/// Draws the labels of `folder` by both models. The last of these samples are written to `to`, a row a
/// label, if they are wanted.
pub fn measure(
    loaded: &LoadedModel,
    stacks: &Stacks,
    folder: &Path,
    to: Option<&Path>,
    config: &RunConfig,
    stop: &StopFlag,
) -> Result<Labels> {
    let folder = ImageFolder::load(folder, 1.0)?;
    let (base, mut shown) = draw(loaded, stacks, false, &folder, config, stop)?;
    let mut labels = Labels { base, tuned: None };
    if stacks.is_pair() {
        let (scores, drawn) = draw(loaded, stacks, true, &folder, config, stop)?;
        (labels.tuned, shown) = (Some(scores), drawn);
    }
    if let Some(path) = to {
        write_png(path, &grid(&shown.images, fidelity_request(config).count)?)?;
        line(&format!("wrote {}", path.display()));
    }
    Ok(labels)
}

fn draw(
    loaded: &LoadedModel,
    stacks: &Stacks,
    is_tuned: bool,
    folder: &ImageFolder,
    config: &RunConfig,
    stop: &StopFlag,
) -> Result<(Vec<LabelScore>, Sampled)> {
    let loaded = &stacks.model(loaded, is_tuned)?;
    let model = loaded.denoiser(&[])?;
    let bar = stage_bar(if is_tuned { "labels, tuned" } else { "labels, base" }, 1);
    let drawn = fidelity(loaded, &*model, folder, fidelity_request(config), stop, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    Ok(drawn?)
}

impl Labels {
    /// Prints a line a label and the share over all.
    pub fn print(&self) {
        for (row, score) in self.base.iter().enumerate() {
            let share = |score: &LabelScore| format!("{}/{}", score.hits, score.samples);
            let tuned = self.tuned.as_ref().map(|tuned| format!("   tuned {}", share(&tuned[row])));
            line(&format!("{:24} base {}{}", score.label, share(score), tuned.unwrap_or_default()));
        }
        let share = |scores: &[LabelScore]| {
            let (hits, samples) = LabelScore::total(scores);
            format!("{hits} of {samples} ({:.1} %)", 100.0 * hits as f64 / samples as f64)
        };
        let tuned = self.tuned.as_ref().map(|tuned| format!("   tuned {}", share(tuned)));
        line(&format!("nearest picture has the label: base {}{}", share(&self.base), tuned.unwrap_or_default()));
    }

    /// Hits and samples of each label.
    pub fn to_json(&self) -> Value {
        let object = |scores: &[LabelScore]| {
            let entry =
                |score: &LabelScore| (score.label.clone(), json!({ "hits": score.hits, "samples": score.samples }));
            scores.iter().map(entry).collect::<Value>()
        };
        json!({ "base": object(&self.base), "tuned": self.tuned.as_deref().map(object) })
    }
}
