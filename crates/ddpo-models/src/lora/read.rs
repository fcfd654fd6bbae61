//! Adapters from files, whoever wrote them: every tensor finds its layer, or the file is refused.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::Device;
use ddpo_nn::{Bytes, Error, ParamId, Result, Specs, TensorFile};
use serde_json::{Map, Value};

use super::{
    Adapter, Component, Lora,
    layers::{Found, damaged, read_layer},
    names::{Name, Part, other_kind, readable_module, split},
    settings::Settings,
    source::{Source, open},
};
use crate::pipeline::Pipeline;

/// What is wrong with a file that is no adapter.
const NO_ADAPTER: &str =
    "no adapter tensors found, wanted `unet.<layer>.lora_A.weight` or `lora_unet_<layer>.lora_down.weight`";

/// The networks whose layers an adapter may have.
pub(super) struct Networks<'a> {
    unet: &'a Specs,
    text_encoder: Option<&'a Specs>,
}

impl<'a> Networks<'a> {
    pub(super) fn of(pipeline: &'a Pipeline) -> Self {
        Self { unet: pipeline.unet.specs(), text_encoder: Some(pipeline.text_encoder.specs()) }
    }

    fn specs(&self, component: Component) -> Option<&'a Specs> {
        match component {
            Component::Unet => Some(self.unet),
            Component::TextEncoder => self.text_encoder,
        }
    }

    /// The layers by every name that files have for them.
    fn names(&self) -> BTreeMap<(Component, String), ParamId> {
        let mut names = BTreeMap::new();
        for component in [Component::Unet, Component::TextEncoder] {
            let specs = self.specs(component).into_iter().flat_map(|specs| specs.iter().enumerate());
            for (id, module) in specs.filter_map(|(id, spec)| Some((ParamId(id), readable_module(spec)?))) {
                // Transformers from 5.6 on call the text encoder's layers without this.
                let short = module.strip_prefix("text_model.").unwrap_or(module);
                for name in [module, short] {
                    names.insert((component, name.to_owned()), id);
                    names.insert((component, name.replace('.', "_")), id);
                }
            }
        }
        names
    }
}

impl Adapter {
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
}

impl Lora {
    /// Reads an adapter of a UNet, as [`Adapter::load`] does, that can be trained.
    ///
    /// # Errors
    ///
    /// Those of [`Adapter::load`], and if it has layers that are not trained.
    pub fn load(path: &Path, specs: &Specs, device: &Device) -> Result<Self> {
        read(&[open(path)?], &Networks { unet: specs, text_encoder: None }, device)?.trainable()
    }

    /// Reads the content of such a file, called `name` in errors.
    ///
    /// # Errors
    ///
    /// Those of [`Lora::load`].
    pub fn from_bytes(name: &str, content: Vec<u8>, specs: &Specs, device: &Device) -> Result<Self> {
        let source = Source { file: TensorFile::open(name, vec![Bytes::Shared(content.into())])?, config: None };
        read(&[source], &Networks { unet: specs, text_encoder: None }, device)?.trainable()
    }
}

/// The adapter that these files hold together.
pub(super) fn read(sources: &[Source], networks: &Networks<'_>, device: &Device) -> Result<Adapter> {
    let mut layers: BTreeMap<(Component, ParamId), _> = BTreeMap::new();
    for source in sources {
        let file = &source.file;
        for ((component, id), found) in assign(file, networks)? {
            let Some(specs) = networks.specs(component) else { continue };
            let settings = settings(source, component)?;
            let layer = read_layer(file, &specs[id.0], id, &found, settings.as_ref(), device)?;
            if layers.insert((component, id), layer).is_some() {
                let reason = format!("layer `{}` is in another file of the adapter as well", specs[id.0].name);
                return Err(damaged(file, reason));
            }
        }
    }
    let mut of = |wanted: Component| {
        let specs = networks.specs(wanted)?.clone();
        let own: Vec<_> =
            layers.extract_if(.., |(component, _), _| *component == wanted).map(|(_, layer)| layer).collect();
        (!own.is_empty()).then_some(Lora { specs, layers: own })
    };
    Ok(Adapter { unet: of(Component::Unet), text_encoder: of(Component::TextEncoder) })
}

/// Every tensor of the file at its layer.
fn assign(file: &TensorFile, networks: &Networks<'_>) -> Result<BTreeMap<(Component, ParamId), Found>> {
    let known = networks.names();
    let mut layers: BTreeMap<(Component, ParamId), Found> = BTreeMap::new();
    let mut unknown = Vec::new();
    for tensor in file.names() {
        let name = split(tensor);
        if let Some(name) = &name {
            check_text_width(file, tensor, name, networks)?;
        }
        let Some((place, part)) = name.as_ref().and_then(|name| Some((find(name, &known)?, name.part))) else {
            unknown.push(tensor);
            continue;
        };
        if let Some(other) = layers.entry(place).or_default().insert(part, tensor.to_owned()) {
            let reason =
                format!("`{other}` and `{tensor}` are the same part of one layer, wanted one adapter in a file");
            return Err(damaged(file, reason));
        }
    }
    let Some(first) = unknown.first() else {
        return if layers.is_empty() { Err(damaged(file, NO_ADAPTER.to_owned())) } else { Ok(layers) };
    };
    Err(damaged(file, refusal(&unknown, first, layers.is_empty(), networks)))
}

/// The layer of a name; one without a prefix may be of either network.
fn find(name: &Name<'_>, known: &BTreeMap<(Component, String), ParamId>) -> Option<(Component, ParamId)> {
    let either = [Component::Unet, Component::TextEncoder];
    let components = either.into_iter().filter(|component| name.component.is_none_or(|named| named == *component));
    components.into_iter().find_map(|component| Some((component, *known.get(&(component, name.layer.clone()))?)))
}

/// Why a file with tensors of no layer is refused.
fn refusal(unknown: &[&str], first: &str, is_all: bool, networks: &Networks<'_>) -> String {
    if let Some((name, kind)) = unknown.iter().find_map(|name| Some((name, other_kind(name)?))) {
        return format!("it is {kind} (`{name}`), wanted a LoRA of this model");
    }
    let text = unknown.iter().find(|name| split(name).is_some_and(|name| is_of_text(&name)));
    if let (Some(name), None) = (text, networks.text_encoder) {
        return format!("`{name}` is of the text encoder, wanted layers of the unet alone");
    }
    let count = unknown.len();
    match is_all {
        // None of an adapter's: the weights of a model, say.
        true => format!("{NO_ADAPTER}; the first of its {count} tensors is `{first}`"),
        false => format!("{count} tensors found that belong to no layer of the model, the first of them `{first}`"),
    }
}

fn is_of_text(name: &Name<'_>) -> bool {
    name.component == Some(Component::TextEncoder) || name.layer.starts_with("text_model")
}

/// Refuses an adapter of a model whose texts are of another width, before any of its layers is missed.
fn check_text_width(file: &TensorFile, tensor: &str, name: &Name<'_>, networks: &Networks<'_>) -> Result<()> {
    let reads_text =
        ["attn2.to_k", "attn2.to_v", "attn2_to_k", "attn2_to_v"].iter().any(|end| name.layer.ends_with(end));
    let own =
        networks.unet.iter().find(|spec| spec.name.ends_with("attn2.to_k.weight")).map(|spec| spec.shape.as_slice());
    let (Some([_, wanted, ..]), [_, found, ..]) = (own, file.shape(tensor)?) else { return Ok(()) };
    if !reads_text || name.part != Part::Down || found == wanted {
        return Ok(());
    }
    let model = |width: usize| match width {
        768 => ", as Stable Diffusion 1 has them",
        1024 => ", as Stable Diffusion 2 has them",
        2048 => ", as Stable Diffusion XL has them",
        _ => "",
    };
    let (its, ours) = (model(*found), model(*wanted));
    let reason =
        format!("it was made for texts of width {found}{its} (`{tensor}`); this model's are of width {wanted}{ours}");
    Err(damaged(file, reason))
}

/// The settings of a component's layers: PEFT's file, or what diffusers writes into the metadata.
fn settings(source: &Source, component: Component) -> Result<Option<Settings>> {
    if let Some(config) = &source.config {
        return Settings::parse(Adapter::PEFT_CONFIG, &object(Adapter::PEFT_CONFIG, config)?, "");
    }
    let Some(text) = source.file.metadata().get("lora_adapter_metadata") else { return Ok(None) };
    let name = format!("the metadata `lora_adapter_metadata` of {}", source.file.name());
    let prefix = match component {
        Component::Unet => "unet.",
        Component::TextEncoder => "text_encoder.",
    };
    Settings::parse(&name, &object(&name, text.as_bytes())?, prefix)
}

fn object(name: &str, json: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(json).map_err(|error| Error::Json { name: name.to_owned(), reason: error.to_string() })
}
