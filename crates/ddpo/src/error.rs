//! What can go wrong between a configuration and a finished run.

use std::path::PathBuf;

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong between a configuration and a finished run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that is not TOML, or has a value of the wrong type.
    #[error("cannot read {origin}")]
    ConfigSyntax {
        /// The file, the preset or the command-line option.
        origin: String,
        /// What the parser says.
        source: toml::de::Error,
    },
    /// Several processes were started and cannot do a run together.
    #[error("{reason}")]
    Launch {
        /// Why.
        reason: String,
    },
    /// A key that no option has.
    #[error("unknown key `{key}` in {origin}{}", did_you_mean(nearest))]
    UnknownKey {
        /// The file, the preset or the command-line option.
        origin: String,
        /// The key as written.
        key: String,
        /// The nearest key that exists.
        nearest: Option<String>,
    },
    /// A section that earlier versions had.
    #[error("`{section}` in {origin} has moved: its options are now {to}")]
    MovedSection {
        /// The file, the preset or the command-line option.
        origin: String,
        /// The section.
        section: &'static str,
        /// Where its options are.
        to: &'static str,
    },
    /// `--set` without an equals sign.
    #[error("cannot read --set `{found}`: expected section.key=value")]
    Assignment {
        /// What was written.
        found: String,
    },
    /// A name that is none of the known ones.
    #[error("unknown {what} `{found}`{}; known: {}", did_you_mean(nearest), known.join(", "))]
    UnknownName {
        /// What kind of thing has such names.
        what: &'static str,
        /// The name as written.
        found: String,
        /// The nearest name that exists.
        nearest: Option<String>,
        /// All names.
        known: Vec<String>,
    },
    /// A value that an option cannot take.
    #[error("invalid `{key}`: found {found}, expected {expected}")]
    InvalidOption {
        /// The option, as `section.key`.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// An option of a task that does not fit.
    #[error("in the task `{name}`")]
    Task {
        /// The task.
        name: String,
        /// What does not fit.
        source: Box<Error>,
    },
    /// Something the design has and this version does not.
    #[error("{what} is not built in this version: {instead}")]
    NotBuilt {
        /// The thing, with the name the user gave it.
        what: String,
        /// What works in its place.
        instead: String,
    },
    /// A device that is compiled in and not on this machine.
    #[error("there is no device `{name}`: {}", devices_found(*found))]
    NoDevice {
        /// Its name.
        name: String,
        /// How many of its kind there are.
        found: usize,
    },
    /// Prompts that are missing or empty.
    #[error("no prompts: {reason}")]
    NoPrompts {
        /// What was looked at and what was found.
        reason: String,
    },
    /// A configuration that TOML cannot express.
    #[error("cannot write the configuration")]
    ConfigOutput {
        /// What the serializer says.
        source: toml::ser::Error,
    },
    /// The embedded model in a build that has none.
    #[error("the model `emoji` is not in this build: assets/emoji was missing when it was compiled")]
    NoEmbeddedModel,
    /// The hub did not give what was asked for.
    #[error("cannot get {what} of `{id}` from the hub (there is no directory of this name): {reason}")]
    Hub {
        /// `organisation/name`.
        id: String,
        /// A file, or the list of them.
        what: String,
        /// What was answered.
        reason: String,
        /// Whether the answer was that this user may not have it.
        denied: bool,
    },
    /// A model of the hub that cannot be used without the hub.
    #[error("the cache {} does not hold the model `{id}`: {reason}", cache.display())]
    HubCache {
        /// `organisation/name`.
        id: String,
        /// The cache.
        cache: PathBuf,
        /// What it lacks.
        reason: String,
        /// Whether the hub may not be asked.
        offline: bool,
    },
    /// Weights in a format that can run code.
    #[error("cannot load {}: pickled weights can run any program, so only safetensors are read", path.display())]
    PickledWeights {
        /// The file.
        path: PathBuf,
    },
    /// A path that is no diffusers directory.
    #[error("cannot load the model {}: {reason}", path.display())]
    NotAModel {
        /// The path.
        path: PathBuf,
        /// What was found and what was wanted.
        reason: String,
    },
    /// A run in the place of a model.
    #[error("cannot load the model {}: a run directory found, a diffusers directory wanted", path.display())]
    ModelIsRun {
        /// The run.
        path: PathBuf,
    },
    /// A folder of the hub's cache instead of a model in it.
    #[error("cannot load the model {}: a folder of the hub's cache found, whose model is in {snapshots}", path.display())]
    ModelIsCache {
        /// The folder.
        path: PathBuf,
        /// Where models are in it.
        snapshots: String,
    },
    /// A one-file checkpoint that fits two models.
    #[error(
        "cannot load the model {}: it is of Stable Diffusion 2, whose files do not say whether they predict noise or velocity: \
         wanted a diffusers directory or a hub id that has its configuration (`model.config`, `--model-config`), such as \
         stabilityai/stable-diffusion-2-1 (velocity, 768 pixels) or stabilityai/stable-diffusion-2-1-base (noise, 512 pixels)",
        path.display()
    )]
    TwoReadings {
        /// The file.
        path: PathBuf,
    },
    /// What is not in a one-file checkpoint could not be had.
    #[error(
        "cannot load the model {}: the file holds weights alone, and its tokenizer and configuration, wanted from `{id}`, could \
         not be had; `--model-config` (`model.config`) names a diffusers directory that has them",
        path.display()
    )]
    NoConfiguration {
        /// The file.
        path: PathBuf,
        /// The model of the hub.
        id: String,
        /// Why.
        source: Box<Error>,
    },
    /// A part of a model in the place of the whole.
    #[error("cannot load the model {}: one part of a diffusers directory found, the directory wanted", path.display())]
    ModelIsPart {
        /// The part.
        path: PathBuf,
        /// The directory.
        whole: PathBuf,
    },
    /// A new run in the directory of another.
    #[error("the run directory {} already holds a run", path.display())]
    RunExists {
        /// The directory.
        path: PathBuf,
    },
    /// Whoever listens asked to stop; nothing is wrong.
    #[error("stopped before the end, with nothing written")]
    Stopped,
    /// A run that has not made anything yet.
    #[error("the run directory {} holds no product: found neither pytorch_lora_weights.safetensors nor model/", path.display())]
    NoProduct {
        /// The directory.
        path: PathBuf,
    },
    /// A folder, or a repository of the hub, without an adapter.
    #[error(
        "`{origin}` holds no adapter: wanted pytorch_lora_weights.safetensors, adapter_model.safetensors, or another file.safetensors"
    )]
    NoAdapter {
        /// The folder or repository.
        origin: String,
    },
    /// A folder, or a repository of the hub, with more adapters than one.
    #[error("`{origin}` holds several adapters: {}; wanted one, or a file's name behind the folder", found.join(", "))]
    SeveralAdapters {
        /// The folder or repository.
        origin: String,
        /// The files.
        found: Vec<String>,
    },
    /// A folder, or a repository of the hub, without a textual-inversion embedding.
    #[error("`{origin}` holds no embedding: wanted learned_embeds.safetensors, or another file.safetensors")]
    NoEmbedding {
        /// The folder or repository.
        origin: String,
    },
    /// A folder, or a repository of the hub, with more embeddings than one.
    #[error("`{origin}` holds several embeddings: {}; wanted one, or a file's name behind the folder", found.join(", "))]
    SeveralEmbeddings {
        /// The folder or repository.
        origin: String,
        /// The files.
        found: Vec<String>,
    },
    /// A file that cannot be put together.
    #[error("cannot encode {}: {reason}", path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A path that should be the directory of a run.
    #[error("{} is no run: {reason}", path.display())]
    NotARun {
        /// The path.
        path: PathBuf,
        /// What was found.
        reason: &'static str,
    },
    /// A folder that should hold pictures.
    #[error("no pictures: {} has no PNG, JPEG, WebP, GIF or BMP file", path.display())]
    NoPictures {
        /// The folder.
        path: PathBuf,
    },
    /// Prompts for pictures, and not as many as these.
    #[error("{} has {found} {}, wanted {wanted}, one for each picture", path.display(), if *found == 1 { "prompt" } else { "prompts" })]
    PromptCount {
        /// The file of the prompts.
        path: PathBuf,
        /// How many it has.
        found: usize,
        /// How many pictures there are.
        wanted: usize,
    },
    /// A run directory that cannot be used as asked.
    #[error("cannot use the run directory {}: {reason}", path.display())]
    RunDirectory {
        /// The directory.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Something which cannot be written as JSON.
    #[error("cannot write {what} as JSON")]
    Json {
        /// What it is.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// A number which must be finite and is not.
    #[error("the {what} is not finite at step {step}")]
    NonFinite {
        /// Which number.
        what: &'static str,
        /// The optimizer step, from 0.
        step: u64,
    },
    /// The device cannot give back a value.
    #[error("cannot read from the device: {reason}")]
    Device {
        /// What the device says.
        reason: String,
    },
    /// An image that cannot be read or written.
    #[error("cannot {operation} the image {}", path.display())]
    Picture {
        /// `decode` or `encode`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The codec's reason.
        source: image::ImageError,
    },
    /// A file that should be text.
    #[error("cannot read {}: it is not UTF-8 text at byte {offset}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// Where it stops being text.
        offset: usize,
    },
    /// A line of `metadata.jsonl` that does not describe a picture.
    #[error("cannot read {}, line {line}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A line of a file of pairs whose pictures cannot be used.
    #[error("cannot use {}, line {line}", path.display())]
    Pair {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with a picture.
        source: Box<Error>,
    },
    /// A data set that cannot be trained on.
    #[error("cannot use the data set: {reason}")]
    Data {
        /// What was found and what was wanted.
        reason: String,
    },
    /// A picture that does not fit the grid it is for.
    #[error("cannot place a picture of {}x{} pixels in a grid of {}x{} pixels", found[0], found[1], wanted[0], wanted[1])]
    GridSize {
        /// Its width and height.
        found: [u32; 2],
        /// The width and height of the others.
        wanted: [u32; 2],
    },
    /// Pictures that are to be encoded together and have different sizes.
    #[error("cannot encode a picture of {}x{} pixels beside one of {}x{} pixels", found[0], found[1], wanted[0], wanted[1])]
    PictureSizes {
        /// Its width and height.
        found: [u32; 2],
        /// The width and height of the first.
        wanted: [u32; 2],
    },
    /// A line of `metrics.jsonl` that is not a record.
    #[error("cannot read {}, line {line}", path.display())]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A model cannot be loaded or run.
    #[error(transparent)]
    Models(#[from] ddpo_models::Error),
    /// A reward cannot be made.
    #[error(transparent)]
    Rewards(#[from] ddpo_rewards::Error),
    /// The core refused.
    #[error(transparent)]
    Core(#[from] ddpo_core::Error),
    /// Training or its files failed.
    #[error(transparent)]
    Train(#[from] ddpo_train::Error),
}

impl Error {
    /// Whether the command or the configuration is at fault, and not the run.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::ConfigSyntax { .. }
                | Self::UnknownKey { .. }
                | Self::MovedSection { .. }
                | Self::Assignment { .. }
                | Self::UnknownName { .. }
                | Self::InvalidOption { .. }
                | Self::NotBuilt { .. }
                | Self::NoDevice { .. }
                | Self::PromptCount { .. }
        ) || matches!(self, Self::Rewards(error) if error.is_usage())
            || matches!(self, Self::Task { source, .. } if source.is_usage())
    }
}

fn devices_found(count: usize) -> String {
    match count {
        0 => "none of its kind was found; is its driver installed?".to_owned(),
        1 => "one of its kind was found, number 0".to_owned(),
        _ => format!("{count} of its kind were found, numbers 0 to {}", count - 1),
    }
}

fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}
