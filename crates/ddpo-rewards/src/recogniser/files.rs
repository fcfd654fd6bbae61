//! The network's files: a folder with `config.json` and `model.safetensors`, beside a model's other parts.

use std::path::Path;

use burn::tensor::Device;
use ddpo_nn::{FileDtype, ModelFiles, RecogniserConfig, RecogniserNetwork, TensorFile, Weights, write_atomically};

use super::Recogniser;
use crate::{Error, Result};

const CONFIG: &str = "judge/config.json";
const WEIGHTS: &str = "judge/model.safetensors";

impl Recogniser {
    /// The one that is shipped with a model, if there is one.
    ///
    /// # Errors
    /// Files that are damaged or do not belong together.
    pub fn of_model(files: &ModelFiles, device: &Device) -> Result<Option<Self>> {
        if !files.has(CONFIG) {
            return Ok(None);
        }
        let refuse = |reason: String| Error::Recogniser { reason };
        let json = files.text(CONFIG, "what the judge knows").map_err(|error| refuse(error.to_string()))?;
        let config: RecogniserConfig =
            serde_json::from_slice(&json).map_err(|error| refuse(format!("`{CONFIG}`: {error}")))?;
        let network = RecogniserNetwork::new(config);
        let load = || {
            let bytes = files.bytes(WEIGHTS, "the judge's weights")?;
            Weights::load(network.specs(), &TensorFile::open(WEIGHTS, vec![bytes])?, device)
        };
        let weights = load().map_err(|error| refuse(error.to_string()))?;
        Ok(Some(Self::new(network, weights, device.clone())))
    }
}

/// Writes a network into the directory of the model that it is shipped with.
///
/// # Errors
/// Weights that do not fit the numbers of the file; a folder that cannot be written.
pub fn save(network: &RecogniserNetwork, weights: &Weights, model: &Path, dtype: FileDtype) -> Result<()> {
    let write = || {
        write_atomically(&model.join(WEIGHTS), &weights.to_safetensors(dtype)?)?;
        let text = serde_json::to_string_pretty(network.config()).unwrap_or_default();
        write_atomically(&model.join(CONFIG), format!("{text}\n").as_bytes())
    };
    write().map_err(|error: ddpo_nn::Error| Error::Recogniser { reason: error.to_string() })
}
