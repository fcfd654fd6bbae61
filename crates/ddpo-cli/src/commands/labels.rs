//! `ddpo evaluate --labels`: the share of samples whose nearest picture has the label they were drawn for.

use std::path::Path;

use anyhow::Result;
use ddpo::config::RunConfig;
use ddpo::images::{grid, write_png};
use ddpo::pretrain::{ImageFolder, LabelScore, fidelity, fidelity_request};
use ddpo::train::StopFlag;
use ddpo::{Product, Studio};

use crate::progress::{line, stage_bar};

/// Prints a line a label and the share over all, and writes the samples to `to`, a row a label, if they are wanted.
pub fn run(
    studio: &Studio,
    adapter: Option<&Product>,
    folder: &Path,
    to: Option<&Path>,
    config: &RunConfig,
    stop: &StopFlag,
) -> Result<()> {
    let folder = ImageFolder::load(folder, 1.0)?;
    let model = studio.denoiser(adapter)?;
    let request = fidelity_request(config);
    let columns = request.count;
    let bar = stage_bar("sampling", 1);
    let (scores, drawn) = fidelity(studio, &*model, &folder, request, stop, &mut |done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    scores.iter().for_each(|score| line(&format!("{:12} {}/{}", score.label, score.hits, score.samples)));
    let (hits, samples) = LabelScore::total(&scores);
    line(&format!(
        "nearest picture has the label: {hits} of {samples} ({:.1} %)",
        100.0 * hits as f64 / samples as f64
    ));
    if let Some(path) = to {
        write_png(path, &grid(&drawn.images, columns)?)?;
        line(&format!("wrote {}", path.display()));
    }
    Ok(())
}
