//! Adapters to files that other programs load.

use std::{collections::BTreeMap, path::Path};

use ddpo_nn::{FileDtype, ParamSpec, Result, encode, read_back, write_atomically};
use serde_json::json;

use super::{
    Component, Lora,
    adapter::Layer,
    names::{kohya, module},
};

/// A tensor of a file: name, shape, elements.
type Named = (String, Vec<usize>, Vec<f32>);

/// Whose names an adapter's file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoraFormat {
    /// Diffusers and PEFT: `unet.<layer>.lora_A.weight`; `pipe.load_lora_weights` reads it. Alpha is the rank, so that it is as
    /// strong in programs that do not read the metadata: another alpha is multiplied into the factor `B`.
    Diffusers,
    /// kohya's scripts, ComfyUI, A1111: `lora_unet_<layer>.lora_down.weight`, alpha as a tensor.
    Kohya(KohyaDetails),
}

/// What A1111 and Forge want to know of a file, to show it and to offer it for the models that it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KohyaDetails {
    /// What the adapter is called.
    pub output_name: String,
    /// What the model is called that it was trained on.
    pub base_model: String,
    /// Whether this model predicts velocities.
    pub v_parameterization: bool,
}

/// The width of the texts of Stable Diffusion 2.
const V2_WIDTH: usize = 1024;

impl Lora {
    /// The name of the file that diffusers looks for.
    pub const FILE_NAME: &'static str = "pytorch_lora_weights.safetensors";

    /// Writes the adapter, whole or not at all.
    ///
    /// # Errors
    ///
    /// If a value cannot be read or is not finite, or the file cannot be written.
    pub fn save(&self, path: &Path, format: &LoraFormat) -> Result<()> {
        write_atomically(path, &self.to_safetensors(format)?)
    }

    /// The content of the file that [`Lora::save`] writes.
    ///
    /// # Errors
    ///
    /// If a value cannot be read or is not finite.
    pub fn to_safetensors(&self, format: &LoraFormat) -> Result<Vec<u8>> {
        let mut tensors = Vec::new();
        for layer in &self.layers {
            tensors.extend(layer.tensors(&self.specs[layer.id.0], format)?);
        }
        let metadata = match format {
            LoraFormat::Diffusers => self.diffusers_metadata(),
            LoraFormat::Kohya(details) => self.kohya_metadata(details),
        };
        encode(&tensors, FileDtype::F32, metadata)
    }

    /// What diffusers makes the `LoraConfig` from, with the ranks for alphas.
    fn diffusers_metadata(&self) -> BTreeMap<String, String> {
        let name = |layer: &Layer| module(&self.specs[layer.id.0]).unwrap_or_default().to_owned();
        let rank = self.layers.first().map_or(1, |layer| layer.rank);
        let others = || self.layers.iter().filter(|layer| layer.rank != rank);
        let ranks: BTreeMap<String, usize> = others().map(|layer| (name(layer), layer.rank)).collect();
        let alphas: BTreeMap<String, f64> = others().map(|layer| (name(layer), layer.rank as f64)).collect();
        let config = json!({
            "unet.r": rank,
            "unet.lora_alpha": rank as f64,
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

    /// The keys of kohya's scripts, as far as they are read to show a file.
    fn kohya_metadata(&self, details: &KohyaDetails) -> BTreeMap<String, String> {
        let (rank, alpha) = self.layers.first().map_or((1, 1.0), |layer| (layer.rank, layer.alpha));
        let width = self.specs.iter().find(|spec| spec.name.ends_with("attn2.to_k.weight")).map(|spec| spec.shape[1]);
        let is_v2 = width == Some(V2_WIDTH);
        let (version, architecture) = match (is_v2, details.v_parameterization) {
            (false, false) => ("sd_v1", "stable-diffusion-v1/lora"),
            (false, true) => ("sd_v1_v", "stable-diffusion-v1/lora"),
            (true, false) => ("sd_v2", "stable-diffusion-v2-512/lora"),
            (true, true) => ("sd_v2_v", "stable-diffusion-v2-768-v/lora"),
        };
        // Python's words.
        let truth = |flag: bool| if flag { "True" } else { "False" }.to_owned();
        [
            ("format", "pt".to_owned()),
            ("ss_network_module", "networks.lora".to_owned()),
            ("ss_network_dim", rank.to_string()),
            ("ss_network_alpha", alpha.to_string()),
            ("ss_v2", truth(is_v2)),
            ("ss_v_parameterization", truth(details.v_parameterization)),
            ("ss_base_model_version", version.to_owned()),
            ("ss_sd_model_name", details.base_model.clone()),
            ("ss_output_name", details.output_name.clone()),
            ("modelspec.sai_model_spec", "1.0.0".to_owned()),
            ("modelspec.architecture", architecture.to_owned()),
            ("modelspec.title", details.output_name.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }
}

impl Layer {
    fn tensors(&self, spec: &ParamSpec, format: &LoraFormat) -> Result<Vec<Named>> {
        let [inputs, outputs] = spec.matrix_shape();
        let layer = module(spec).unwrap_or(&spec.name);
        let (down, up) = match format {
            LoraFormat::Diffusers => (format!("unet.{layer}.lora_A.weight"), format!("unet.{layer}.lora_B.weight")),
            LoraFormat::Kohya(_) => {
                let layer = kohya(Component::Unet, layer);
                (format!("{layer}.lora_down.weight"), format!("{layer}.lora_up.weight"))
            }
        };
        let is_folded = *format == LoraFormat::Diffusers && self.scale() != 1.0;
        let second = if is_folded { self.up.clone().mul_scalar(self.scale()) } else { self.up.clone() };
        // The factors of a 1x1 convolution are 1x1 convolutions.
        let axes = spec.shape.get(2..).unwrap_or_default();
        let factor = |name: String, shape: [usize; 2], value| -> Result<Named> {
            let values = ParamSpec::linear(&name, shape).to_file_order(&read_back(&name, value)?);
            Ok((name, shape.iter().chain(axes).copied().collect(), values))
        };
        let mut tensors =
            vec![factor(down, [self.rank, inputs], self.down.clone())?, factor(up, [outputs, self.rank], second)?];
        if matches!(format, LoraFormat::Kohya(_)) {
            tensors.push((format!("{}.alpha", kohya(Component::Unet, layer)), vec![], vec![self.alpha as f32]));
        }
        Ok(tensors)
    }
}
