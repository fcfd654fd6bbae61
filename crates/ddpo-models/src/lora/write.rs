//! Adapters to files that other programs load.

use std::{collections::BTreeMap, path::Path};

use ddpo_nn::{FileDtype, ParamSpec, Result, encode, read_back, write_atomically};
use serde_json::json;

use super::{
    Lora,
    adapter::Layer,
    names::{kohya, module},
};

/// A tensor of a file: name, shape, elements.
type Named = (String, Vec<usize>, Vec<f32>);

/// Whose names an adapter's file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoraFormat {
    /// Diffusers and PEFT: `unet.<layer>.lora_A.weight`, alpha in the metadata; `pipe.load_lora_weights` reads it.
    Diffusers,
    /// kohya's scripts, ComfyUI, A1111: `lora_unet_<layer>.lora_down.weight`, alpha as a tensor.
    Kohya,
}

impl Lora {
    /// The name of the file that diffusers looks for.
    pub const FILE_NAME: &'static str = "pytorch_lora_weights.safetensors";

    /// Writes the adapter, whole or not at all.
    ///
    /// # Errors
    ///
    /// If a value cannot be read or is not finite, or the file cannot be written.
    pub fn save(&self, path: &Path, format: LoraFormat) -> Result<()> {
        write_atomically(path, &self.to_safetensors(format)?)
    }

    /// The content of the file that [`Lora::save`] writes.
    ///
    /// # Errors
    ///
    /// If a value cannot be read or is not finite.
    pub fn to_safetensors(&self, format: LoraFormat) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            tensors.extend(layer.tensors(&self.specs[layer.id.0], format)?);
        }
        let metadata = match format {
            LoraFormat::Diffusers => self.diffusers_metadata(),
            LoraFormat::Kohya => self.kohya_metadata(),
        };
        encode(&tensors, FileDtype::F32, metadata)
    }

    /// Without this diffusers would take alpha to be the rank; with it, it makes the `LoraConfig` from nothing else.
    fn diffusers_metadata(&self) -> BTreeMap<String, String> {
        let name = |layer: &Layer| module(&self.specs[layer.id.0]).unwrap_or_default().to_owned();
        let (rank, alpha) = self.layers.first().map_or((1, 1.0), |layer| (layer.rank, layer.alpha));
        let ranks: BTreeMap<String, usize> =
            self.layers.iter().filter(|layer| layer.rank != rank).map(|layer| (name(layer), layer.rank)).collect();
        let alphas: BTreeMap<String, f64> =
            self.layers.iter().filter(|layer| layer.alpha != alpha).map(|layer| (name(layer), layer.alpha)).collect();
        let config = json!({
            "unet.r": rank,
            "unet.lora_alpha": alpha,
            "unet.rank_pattern": ranks,
            "unet.alpha_pattern": alphas,
            "unet.target_modules": self.layers.iter().map(name).collect::<Vec<_>>(),
            "unet.use_dora": false,
            "unet.lora_bias": false,
        });
        BTreeMap::from([
            ("format".to_owned(), "pt".to_owned()),
            ("lora_adapter_metadata".to_owned(), config.to_string()),
        ])
    }

    fn kohya_metadata(&self) -> BTreeMap<String, String> {
        let (rank, alpha) = self.layers.first().map_or((1, 1.0), |layer| (layer.rank, layer.alpha));
        [
            ("format", "pt".to_owned()),
            ("ss_network_module", "networks.lora".to_owned()),
            ("ss_network_dim", rank.to_string()),
            ("ss_network_alpha", alpha.to_string()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

impl Layer {
    fn tensors(&self, spec: &ParamSpec, format: LoraFormat) -> Result<Vec<Named>> {
        let [inputs, outputs] = spec.matrix_shape();
        let layer = module(spec).unwrap_or(&spec.name);
        let (down, up) = match format {
            LoraFormat::Diffusers => (format!("unet.{layer}.lora_A.weight"), format!("unet.{layer}.lora_B.weight")),
            LoraFormat::Kohya => {
                (format!("{}.lora_down.weight", kohya(layer)), format!("{}.lora_up.weight", kohya(layer)))
            }
        };
        // The factors of a 1x1 convolution are 1x1 convolutions.
        let axes = spec.shape.get(2..).unwrap_or_default();
        let factor = |name: String, shape: [usize; 2], value| -> Result<Named> {
            let values = ParamSpec::linear(&name, shape).to_file_order(&read_back(&name, value)?);
            Ok((name, shape.iter().chain(axes).copied().collect(), values))
        };
        let mut tensors = vec![
            factor(down, [self.rank, inputs], self.down.clone())?,
            factor(up, [outputs, self.rank], self.up.clone())?,
        ];
        if format == LoraFormat::Kohya {
            tensors.push((format!("{}.alpha", kohya(layer)), vec![], vec![self.alpha as f32]));
        }
        Ok(tensors)
    }
}
