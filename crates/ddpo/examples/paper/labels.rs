//! Whether what was trained still draws what it is asked for: a measure that no reward knows of.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use ddpo::adapter::AdapterSource;
use ddpo::pretrain::{ImageFolder, LabelScore, fidelity, fidelity_request};
use ddpo::train::StopFlag;
use ddpo::{LoadedModel, RunPlan};

use crate::runs::{Line, Shares, configuration};

/// Draws samples of every label of `folder` with the product of each run, as the run drew its own, and finds the share whose
/// nearest picture has the label. What is measured is kept beside the runs.
pub fn measure(lines: &mut [Line], folder: &Path) -> Result<(), Box<dyn Error>> {
    let folder = ImageFolder::load(folder, 1.0)?;
    for line in lines {
        let Some(first) = line.directories.first() else { continue };
        let before = kept(&first.with_file_name("labels-before.txt"), || share(first, false, &folder))?;
        let of_run = |run: &PathBuf| kept(&run.join("labels.txt"), || share(run, true, &folder));
        let after = line.directories.iter().map(of_run).collect::<Result<_, _>>()?;
        line.shares = Some(Shares { before, after });
    }
    Ok(())
}

/// The number in a file, which is measured and written if there is none.
fn kept(file: &Path, measure: impl FnOnce() -> Result<f64, Box<dyn Error>>) -> Result<f64, Box<dyn Error>> {
    if let Ok(text) = fs::read_to_string(file) {
        return Ok(text.trim().parse()?);
    }
    let share = measure()?;
    fs::write(file, format!("{share}\n"))?;
    println!("{}", file.display());
    Ok(share)
}

fn share(run: &Path, trained: bool, folder: &ImageFolder) -> Result<f64, Box<dyn Error>> {
    let plan = RunPlan::new(configuration(run)?)?;
    let loaded = LoadedModel::open(&plan.model, plan.device)?;
    let adapters: Vec<AdapterSource> =
        trained.then(|| AdapterSource { path: run.to_owned(), strength: 1.0 }).into_iter().collect();
    let model = loaded.denoiser(&adapters)?;
    let (scores, _) =
        fidelity(&loaded, &*model, folder, fidelity_request(&plan.config), &StopFlag::new(), &mut |_, _| {})?;
    let (hits, samples) = LabelScore::total(&scores);
    Ok(hits as f64 / samples as f64)
}
