//! One-file checkpoints: where what is not in them comes from.

use std::path::Path;

use ddpo_core::PredictionKind;
use ddpo_models::{Pipeline, SingleFile};
use ddpo_nn::{TensorFile, map};

use crate::error::{Error, Result};
use crate::images::read_text;

/// Where diffusers' `from_single_file`, too, has the tokenizer and the configurations of Stable Diffusion 1.x from.
const VERSION_1: &str = "stable-diffusion-v1-5/stable-diffusion-v1-5";

/// Whether a path is that of a one-file checkpoint.
pub(crate) fn is_single_file(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("safetensors")) && path.is_file()
}

/// The tensors of a one-file checkpoint.
pub(crate) fn open(path: &Path) -> Result<SingleFile> {
    Ok(SingleFile::new(TensorFile::open(&path.display().to_string(), vec![map(path)?])?)?)
}

/// The model of the hub that has the tokenizer and the configurations of a checkpoint for which none is named.
pub(crate) fn default_configuration(path: &Path) -> Result<&'static str> {
    match open(path)?.is_version_2() {
        true => Err(Error::TwoReadings { path: path.to_owned() }),
        false => Ok(VERSION_1),
    }
}

/// Refuses a model whose checkpoint has the original code's configuration beside it, `model.yaml` beside `model.safetensors`, when
/// that says that the UNet predicts velocity and the model's own configuration says otherwise.
pub(crate) fn check_prediction(path: &Path, pipeline: &Pipeline) -> Result<()> {
    let beside = path.with_extension("yaml");
    if pipeline.scheduler.prediction == PredictionKind::Velocity || !says_velocity(&beside) {
        return Ok(());
    }
    Err(Error::InvalidOption {
        key: "model.config",
        found: format!("a configuration without `v_prediction`, and `parameterization: \"v\"` in {}", beside.display()),
        expected: "a model with `prediction_type` v_prediction in its scheduler/scheduler_config.json".to_owned(),
    })
}

fn says_velocity(yaml: &Path) -> bool {
    let value = |line: &str| {
        line.trim().strip_prefix("parameterization:").map(|value| value.trim().trim_matches(['"', '\'']) == "v")
    };
    yaml.is_file() && read_text(yaml).is_ok_and(|text| text.lines().filter_map(value).any(|is_velocity| is_velocity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yaml_beside_the_file_says_what_it_predicts() {
        let folder = tempfile::tempdir().unwrap();
        let yaml = folder.path().join("a.yaml");
        let says = |text: &str| {
            std::fs::write(&yaml, text).unwrap();
            says_velocity(&yaml)
        };
        assert!(says("model:\n  params:\n    parameterization: \"v\"\n"));
        assert!(says("parameterization: v"));
        assert!(!says("parameterization: eps\n# parameterization: \"v\"\n"));
        assert!(!says_velocity(&folder.path().join("b.yaml")));
    }
}
