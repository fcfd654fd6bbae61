//! All that an adapter's files hold: layers of the UNet and of the text encoder.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use ddpo_nn::{Bytes, Error, ModelFiles, Result, TensorFile, map};

use super::{
    Lora,
    names::module,
    read::{Networks, Source, read},
};
use crate::pipeline::Pipeline;

/// An adapter as other programs write it: factors for layers of the UNet, convolutions among them, and of the text encoder.
#[derive(Clone, Debug)]
pub struct Adapter {
    pub(super) unet: Option<Lora>,
    pub(super) text_encoder: Option<Lora>,
}

impl Adapter {
    /// PEFT's file of weights, beside which its settings are.
    pub const PEFT_FILE: &'static str = "adapter_model.safetensors";
    /// PEFT's file of settings.
    pub const PEFT_CONFIG: &'static str = "adapter_config.json";

    /// Reads the adapter of `pipeline` that these safetensors files hold together, in the names of diffusers, PEFT, kohya's
    /// scripts or the attention processors of 2023. Settings are read from the files' metadata, and from PEFT's file beside them.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is of another kind, a tensor that belongs to no layer of the pipeline, a value that is not
    /// finite, or a shape that does not fit.
    pub fn load(files: &[PathBuf], pipeline: &Pipeline, device: &Device) -> Result<Self> {
        let sources = files.iter().map(|path| open(path)).collect::<Result<Vec<_>>>()?;
        read(&sources, &Networks::of(pipeline), device)
    }

    /// Reads the content of one such file, called `name` in errors, with the content of PEFT's settings if there are any.
    ///
    /// # Errors
    ///
    /// Those of [`Adapter::load`].
    pub fn from_bytes(
        name: &str,
        content: Vec<u8>,
        config: Option<Vec<u8>>,
        pipeline: &Pipeline,
        device: &Device,
    ) -> Result<Self> {
        let source = Source { file: TensorFile::open(name, vec![Bytes::Shared(content.into())])?, config };
        read(&[source], &Networks::of(pipeline), device)
    }

    /// The pipeline with `strength` times this adapter on top of it and of the adapters that it has. Nothing of it is nothing at
    /// all: not even a zero is added.
    ///
    /// # Errors
    ///
    /// If the adapter is of another pipeline.
    pub fn attach(&self, pipeline: &Pipeline, strength: f64) -> Result<Pipeline> {
        let mut adapted = pipeline.clone();
        if strength == 0.0 {
            return Ok(adapted);
        }
        if let Some(unet) = &self.unet {
            adapted.unet_weights = unet.scaled(strength).attach(&pipeline.unet_weights)?;
        }
        if let Some(text_encoder) = &self.text_encoder {
            adapted.text_weights = text_encoder.scaled(strength).attach(&pipeline.text_weights)?;
        }
        Ok(adapted)
    }

    /// The adapter to train.
    ///
    /// # Errors
    ///
    /// If it has layers that are not trained: of the text encoder, or convolutions.
    pub fn trainable(self) -> Result<Lora> {
        const WANTED: &str = "linear layers of the unet alone (over an adapter with others, a new one can be trained)";
        let refuse = |found: &str| Err(Error::input("go on training an adapter", "a layer", found, WANTED));
        if let Some(layer) = self.text_encoder.iter().flat_map(Lora::layer_names).next() {
            return refuse(&layer);
        }
        let Some(unet) = self.unet else { return refuse("none") };
        let convolution = unet.layers.iter().map(|layer| &unet.specs[layer.id.0]).find(|spec| module(spec).is_none());
        match convolution {
            Some(spec) => refuse(spec.name.trim_end_matches(".weight")),
            None => Ok(unet),
        }
    }
}

/// A file of weights, with the settings beside it if it is PEFT's.
pub(super) fn open(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    if matches!(path.extension().and_then(|extension| extension.to_str()), Some("bin" | "pt" | "ckpt" | "pth")) {
        return Err(Error::Pickle { name });
    }
    let file = TensorFile::open(&name, vec![map(path)?])?;
    let is_peft = path.file_name().is_some_and(|name| name == Adapter::PEFT_FILE)
        || file.names().iter().any(|name| name.starts_with("base_model."));
    let beside = path.with_file_name(Adapter::PEFT_CONFIG);
    let config = match path.parent().filter(|_| is_peft && beside.is_file()) {
        Some(folder) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            Some(ModelFiles::Directory(folder.to_owned()).text(Adapter::PEFT_CONFIG, "an adapter's settings")?)
        }
        None => None,
    };
    Ok(Source { file, config })
}
