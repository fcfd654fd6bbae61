//! Adapters from files: diffusers' and PEFT's names, and kohya's.

use std::{collections::BTreeMap, path::Path};

use burn::tensor::Device;
use ddpo_nn::{Bytes, Error, ParamId, ParamSpec, Result, Specs, TensorFile, map, vector};
use serde_json::Value;

use super::{
    Lora,
    adapter::Layer,
    names::{Part, kohya, module, split},
};

/// What is wrong with a file that is no adapter.
const NO_ADAPTER: &str =
    "no adapter tensors found, wanted `unet.<layer>.lora_A.weight` or `lora_unet_<layer>.lora_down.weight`";

/// The tensors of one layer, by name in the file.
#[derive(Default)]
struct LayerTensors {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<String>,
}

impl Lora {
    /// Reads a safetensors file in the form of diffusers or PEFT (`unet.<layer>.lora_A.weight`) or of kohya
    /// (`lora_unet_<layer>.lora_down.weight`), with each layer's rank and alpha.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a tensor that belongs to no linear layer of the model, or a shape that does not fit.
    pub fn load(path: &Path, specs: &Specs, device: &Device) -> Result<Self> {
        let name = path.display().to_string();
        if matches!(path.extension().and_then(|extension| extension.to_str()), Some("bin" | "pt" | "ckpt" | "pth")) {
            return Err(Error::Pickle { name });
        }
        Self::from_file(&TensorFile::open(&name, vec![map(path)?])?, specs, device)
    }

    /// Reads the content of such a file, called `name` in errors.
    ///
    /// # Errors
    ///
    /// Those of [`Lora::load`].
    pub fn from_bytes(name: &str, content: Vec<u8>, specs: &Specs, device: &Device) -> Result<Self> {
        Self::from_file(&TensorFile::open(name, vec![Bytes::Shared(content.into())])?, specs, device)
    }

    fn from_file(file: &TensorFile, specs: &Specs, device: &Device) -> Result<Self> {
        let mut layers = Vec::new();
        for (id, found) in assign(file, specs)? {
            layers.push(read_layer(file, specs, id, &found, device)?);
        }
        if layers.is_empty() {
            return Err(Error::Tensors { name: file.name().to_owned(), reason: NO_ADAPTER.to_owned() });
        }
        Ok(Self { specs: specs.clone(), layers })
    }
}

/// Every tensor of the file at its layer.
fn assign(file: &TensorFile, specs: &Specs) -> Result<BTreeMap<ParamId, LayerTensors>> {
    let modules = || specs.iter().enumerate().filter_map(|(id, spec)| Some((ParamId(id), module(spec)?)));
    let mut known: BTreeMap<String, ParamId> = modules().map(|(id, module)| (module.to_owned(), id)).collect();
    known.extend(modules().map(|(id, module)| (kohya(module), id)));
    let mut layers: BTreeMap<ParamId, LayerTensors> = BTreeMap::new();
    let mut unknown = Vec::new();
    for name in file.names() {
        let place = split(name).and_then(|(layer, part)| Some((*known.get(layer)?, part)));
        let Some((id, part)) = place else {
            unknown.push(name);
            continue;
        };
        let found = layers.entry(id).or_default();
        let slot = match part {
            Part::Down => &mut found.down,
            Part::Up => &mut found.up,
            Part::Alpha => &mut found.alpha,
        };
        *slot = Some(name.to_owned());
    }
    let Some(first) = unknown.first() else { return Ok(layers) };
    let reason = match unknown.len() {
        // None of an adapter's: the weights of a model, say.
        count if layers.is_empty() => format!("{NO_ADAPTER}; the first of its {count} tensors is `{first}`"),
        count => {
            format!("{count} tensors found that belong to no linear layer of the unet, the first of them `{first}`")
        }
    };
    Err(Error::Tensors { name: file.name().to_owned(), reason })
}

fn read_layer(file: &TensorFile, specs: &Specs, id: ParamId, found: &LayerTensors, device: &Device) -> Result<Layer> {
    let spec = &specs[id.0];
    let [inputs, outputs] = spec.matrix_shape();
    let lacks = |part: &str| Error::MissingTensors {
        name: file.name().to_owned(),
        count: 1,
        first: format!("{part} of {}", spec.name),
    };
    let down = found.down.as_deref().ok_or_else(|| lacks("lora_A"))?;
    let up = found.up.as_deref().ok_or_else(|| lacks("lora_B"))?;
    let rank = file.shape(down)?.first().copied().unwrap_or(0);
    if rank == 0 {
        return Err(shape_error(file, down, &[1, inputs]));
    }
    let (a, b) = (read_factor(file, down, [rank, inputs])?, read_factor(file, up, [outputs, rank])?);
    let alpha = match &found.alpha {
        Some(alpha) => f64::from(file.read(alpha)?.first().copied().unwrap_or(rank as f32)),
        None => metadata_alpha(file, spec).unwrap_or(rank as f64),
    };
    if !alpha.is_finite() {
        return Err(Error::input("read an adapter", format!("alpha of `{}`", spec.name), alpha, "a finite number"));
    }
    Ok(Layer { id, rank, alpha, down: vector(a, device), up: vector(b, device) })
}

/// One factor in kernel order; a convolution's has two more axes of one.
fn read_factor(file: &TensorFile, name: &str, shape: [usize; 2]) -> Result<Vec<f32>> {
    let found = file.shape(name)?;
    if found != shape && found.strip_suffix(&[1, 1]) != Some(&shape) {
        return Err(shape_error(file, name, &shape));
    }
    Ok(ParamSpec::linear(name, shape).to_kernel_order(&file.read(name)?))
}

fn shape_error(file: &TensorFile, name: &str, wanted: &[usize]) -> Error {
    let found = file.shape(name).unwrap_or_default().to_vec();
    Error::TensorShape { name: file.name().to_owned(), tensor: name.to_owned(), found, wanted: wanted.to_vec() }
}

/// The alpha that diffusers' `lora_adapter_metadata` gives the layer.
fn metadata_alpha(file: &TensorFile, spec: &ParamSpec) -> Option<f64> {
    let metadata: Value = serde_json::from_str(file.metadata().get("lora_adapter_metadata")?).ok()?;
    let own = || metadata.get("unet.alpha_pattern")?.get(module(spec)?)?.as_f64();
    own().or_else(|| metadata.get("unet.lora_alpha")?.as_f64())
}
