//! Where a model comes from: embedded, a directory, the hub.

use std::fmt;
use std::path::{Path, PathBuf};

use ddpo_nn::ModelFiles;

use crate::error::{Error, Result};
use crate::hub::{Hub, HubEvent, HubModel};
use crate::single_file::{default_configuration, is_single_file};

/// The files of the embedded model, by their path in a diffusers directory; empty in a build without it.
static EMOJI: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/emoji.rs"));

/// Where a model comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelSource {
    /// The model inside the program.
    Embedded,
    /// A diffusers directory.
    Directory(PathBuf),
    /// A one-file checkpoint in the layout of the original Stable Diffusion code.
    File {
        /// The file.
        path: PathBuf,
        /// The model that has its tokenizer and its configurations, which are not in it; `None`: the one that diffusers'
        /// `from_single_file` takes for Stable Diffusion 1.x.
        config: Option<Box<ModelSource>>,
    },
    /// A repository on the hub.
    Hub {
        /// `organisation/name`.
        id: String,
        /// A branch, tag or commit.
        revision: Option<String>,
    },
}

impl ModelSource {
    /// The embedded model's name.
    pub const EMBEDDED: &'static str = "emoji";

    /// What `path` names. A directory that exists wins over a hub id of the same name.
    ///
    /// # Errors
    ///
    /// Fails on an empty name, and on a revision of anything but a hub id.
    pub fn parse(path: &str, revision: Option<&str>) -> Result<Self> {
        let (id, inline_revision) = path.split_once('@').map_or((path, None), |(id, revision)| (id, Some(revision)));
        let revision = inline_revision.or(revision);
        let source = match path {
            "" => {
                return Err(invalid(
                    "model.path",
                    "an empty name",
                    "`emoji`, a diffusers directory, a one-file checkpoint or a hub id",
                ));
            }
            Self::EMBEDDED => Self::Embedded,
            _ if !Path::new(path).exists() && is_hub_id(id) => {
                return Ok(Self::Hub { id: id.to_owned(), revision: revision.map(String::from) });
            }
            _ if is_single_file(Path::new(path)) => Self::File { path: path.into(), config: None },
            _ => Self::Directory(path.into()),
        };
        match revision.filter(|_| inline_revision.is_none()) {
            None => Ok(source),
            Some(revision) => Err(invalid("model.revision", revision, "none, as only hub models have revisions")),
        }
    }
}

impl ModelSource {
    /// The same source, where a one-file checkpoint has its tokenizer and its configurations from `config`, a diffusers directory or
    /// a hub id.
    ///
    /// # Errors
    ///
    /// Fails if this is no one-file checkpoint, which has all it needs, or `config` is one itself.
    pub fn with_config(self, config: Option<&str>) -> Result<Self> {
        let Some(text) = config else { return Ok(self) };
        let Self::File { path, .. } = self else {
            return Err(invalid("model.config", text, "none, as only a one-file checkpoint lacks one"));
        };
        match Self::parse(text, None)? {
            Self::File { .. } => Err(invalid("model.config", text, "a diffusers directory or a hub id")),
            config => Ok(Self::File { path, config: Some(Box::new(config)) }),
        }
    }

    /// The model's files; of a one-file checkpoint those that describe it.
    ///
    /// # Errors
    ///
    /// Fails when the model is not there, or is something other than a diffusers directory.
    pub fn files(&self) -> Result<ModelFiles> {
        match self {
            Self::Embedded if EMOJI.is_empty() => Err(Error::NoEmbeddedModel),
            Self::Embedded => Ok(ModelFiles::Embedded(EMOJI)),
            Self::Directory(path) => check_directory(path).map(|()| ModelFiles::Directory(path.clone())),
            Self::File { config: Some(config), .. } => config.described(),
            Self::File { .. } | Self::Hub { .. } => self.resolve(&Hub::from_env(), None, &mut |_| {})?.files(),
        }
    }

    /// The files of a model that describe it, which may be all there are.
    fn described(&self) -> Result<ModelFiles> {
        match self {
            Self::Directory(path) => Ok(ModelFiles::Directory(path.clone())),
            other => other.files(),
        }
    }

    /// The same source without the hub: a model of the hub becomes its directory in the cache, fetched if it has to be.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::fetch`].
    pub fn resolve(&self, hub: &Hub, variant: Option<&str>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<Self> {
        if let Self::File { path, config } = self {
            let fetch = |model: HubModel<'_>| hub.fetch(model, on_event);
            let config = Some(Box::new(configuration(path, config.as_deref(), fetch)?));
            return Ok(Self::File { path: path.clone(), config });
        }
        match self.hub_model(variant) {
            Some(model) => Ok(Self::Directory(hub.fetch(model, on_event)?)),
            None => Ok(self.clone()),
        }
    }

    fn hub_model<'a>(&'a self, variant: Option<&'a str>) -> Option<HubModel<'a>> {
        let Self::Hub { id, revision } = self else { return None };
        Some(HubModel { id, revision: revision.as_deref().unwrap_or(Hub::MAIN), variant, weights: true })
    }

    /// The commit in the cache that a model of the hub is at.
    pub(crate) fn commit(&self, hub: &Hub, variant: Option<&str>) -> Option<String> {
        let snapshot = hub.cached(self.hub_model(variant)?).ok()?;
        Some(snapshot.file_name()?.to_string_lossy().into_owned())
    }

    /// A name which no other weights have: a checksum over the weight files.
    ///
    /// Files above 64 MiB count by their size and their first and last MiB, so that this takes no longer than loading.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        if let Some(model) = self.hub_model(None) {
            return Self::Directory(Hub::from_env().cached(model)?).fingerprint();
        }
        let mut hash = crc32fast::Hasher::new();
        match self {
            Self::Embedded => EMOJI.iter().for_each(|(_, bytes)| hash.update(bytes)),
            Self::Directory(path) => {
                for part in ["unet", "vae", "text_encoder"] {
                    let directory = path.join(part);
                    let names = ddpo_train::fs::list_directory(&directory)?;
                    for name in names.iter().filter(|name| name.ends_with(".safetensors")) {
                        ddpo_train::fs::hash_ends(&directory.join(name), &mut hash)?;
                    }
                }
            }
            Self::File { path, config } => {
                ddpo_train::fs::hash_ends(path, &mut hash)?;
                let config =
                    configuration(path, config.as_deref(), |model: HubModel<'_>| Hub::from_env().cached(model))?;
                hash_description(&config.described()?, &mut hash)?;
            }
            Self::Hub { .. } => {}
        }
        Ok(format!("weights {:08x}", hash.finalize()))
    }

    /// A short name for run directories.
    pub fn short_name(&self) -> String {
        let name = match self {
            Self::Embedded => Self::EMBEDDED.to_owned(),
            Self::Directory(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            Self::File { path, .. } => path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            Self::Hub { id, .. } => id.rsplit('/').next().unwrap_or_default().to_owned(),
        };
        if name.is_empty() { "model".into() } else { name }
    }
}

/// What every run has in its directory from its first record on.
const RUN: [&str; 2] = ["config.toml", "metrics.jsonl"];

/// Endings of files that `torch.save` or `pickle` write.
const PICKLED: [&str; 5] = ["ckpt", "pt", "pth", "bin", "pkl"];

/// Whether a file's name says that it is pickled.
pub(crate) fn is_pickled(path: &Path) -> bool {
    path.extension().is_some_and(|ending| PICKLED.iter().any(|pickled| ending.eq_ignore_ascii_case(pickled)))
}

fn check_directory(path: &Path) -> Result<()> {
    let refuse = |reason: &str| Err(Error::NotAModel { path: path.to_owned(), reason: reason.to_owned() });
    if path.is_file() && is_pickled(path) {
        return Err(Error::PickledWeights { path: path.to_owned() });
    }
    if let Some(reason) = crate::paths::why_no_directory(path) {
        return refuse(reason);
    }
    if RUN.iter().all(|name| path.join(name).exists()) {
        return Err(Error::ModelIsRun { path: path.to_owned() });
    }
    let unet = path.join("unet");
    if !unet.is_dir() {
        if let Some(snapshots) = cached_snapshots(path)? {
            return Err(Error::ModelIsCache { path: path.to_owned(), snapshots });
        }
        if let Some(whole) = path.parent().filter(|parent| parent.join("model_index.json").is_file()) {
            return Err(Error::ModelIsPart { path: path.to_owned(), whole: whole.to_owned() });
        }
        return refuse("it has no unet/, so it is not a diffusers directory");
    }
    let names = ddpo_train::fs::list_directory(&unet)?;
    let pickled = names.iter().map(|name| unet.join(name)).find(|file| is_pickled(file));
    match pickled.filter(|_| !names.iter().any(|name| name.ends_with(".safetensors"))) {
        Some(path) => Err(Error::PickledWeights { path }),
        None => Ok(()),
    }
}

/// A checksum of a file's content, as [`ModelSource::fingerprint`] counts it.
pub(crate) fn checksum(path: &Path) -> Result<u32> {
    let mut hash = crc32fast::Hasher::new();
    ddpo_train::fs::hash_ends(path, &mut hash)?;
    Ok(hash.finalize())
}

/// The models in a folder of the hub's cache: those of its snapshots, the one of the main branch first. `None`: it is no such
/// folder.
fn cached_snapshots(path: &Path) -> Result<Option<String>> {
    let folder = if path.ends_with("snapshots") { path.to_owned() } else { path.join("snapshots") };
    if !folder.is_dir() {
        return Ok(None);
    }
    let main = folder.parent().and_then(|root| crate::images::read_text(&root.join("refs").join(Hub::MAIN)).ok());
    let main = main.as_deref().map(str::trim);
    let mut names = ddpo_train::fs::list_directory(&folder)?;
    names.sort_by_key(|name| Some(name.as_str()) != main);
    let paths: Vec<String> = names.iter().map(|name| format!("`{}`", folder.join(name).display())).collect();
    Ok(Some(if paths.is_empty() { "no snapshot, as nothing was downloaded".to_owned() } else { paths.join(" or ") }))
}

/// The model without the hub that describes a one-file checkpoint: the named one, or the default, which `fetch` brings into the
/// cache or finds there.
fn configuration(
    path: &Path,
    named: Option<&ModelSource>,
    fetch: impl FnOnce(HubModel<'_>) -> Result<PathBuf>,
) -> Result<ModelSource> {
    let source = match named {
        Some(named) => named.clone(),
        None => ModelSource::Hub { id: default_configuration(path)?.to_owned(), revision: None },
    };
    let Some(model) = source.hub_model(None) else { return Ok(source) };
    let fetched = fetch(HubModel { weights: false, ..model });
    let describe =
        |error| Error::NoConfiguration { path: path.to_owned(), id: model.id.to_owned(), source: Box::new(error) };
    fetched.map(ModelSource::Directory).map_err(describe)
}

/// What besides the weights decides what a one-file checkpoint computes.
fn hash_description(files: &ModelFiles, hash: &mut crc32fast::Hasher) -> Result<()> {
    let (configs, tokenizer) = (["unet", "vae", "text_encoder"], ["vocab.json", "merges.txt", "tokenizer.json"]);
    let scheduler = "scheduler/scheduler_config.json".to_owned();
    let configs = configs.map(|folder| format!("{folder}/config.json")).into_iter().chain([scheduler]);
    let tokenizer = tokenizer.into_iter().map(|name| format!("tokenizer/{name}"));
    for name in configs.chain(tokenizer).filter(|name| files.has(name)) {
        hash.update(&files.text(&name, "the description of a model")?);
    }
    Ok(())
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str(Self::EMBEDDED),
            Self::Directory(path) | Self::File { path, .. } => write!(f, "{}", path.display()),
            Self::Hub { id, revision: None } => f.write_str(id),
            Self::Hub { id, revision: Some(revision) } => write!(f, "{id}@{revision}"),
        }
    }
}

/// `organisation/name`, both of the letters the hub allows.
pub(crate) fn is_hub_id(text: &str) -> bool {
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    text.split_once('/').is_some_and(|(organisation, name)| is_name(organisation) && is_name(name))
}

fn invalid(key: &'static str, found: &str, expected: &str) -> Error {
    Error::InvalidOption { key, found: format!("`{found}`"), expected: expected.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: ModelSource) {
        assert_eq!(ModelSource::parse(path, None).unwrap(), expected);
    }

    #[test]
    fn names_paths_and_hub_ids_are_told_apart() {
        let hub =
            |id: &str, revision: Option<&str>| ModelSource::Hub { id: id.into(), revision: revision.map(String::from) };
        check("emoji", ModelSource::Embedded);
        check("org/name", hub("org/name", None));
        check("org/name-1.5@fp16", hub("org/name-1.5", Some("fp16")));
        for path in ["./model", "/data/model", "models/a/b", "model", "../m"] {
            check(path, ModelSource::Directory(path.into()));
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        check(path, ModelSource::Directory(path.into()));
    }

    #[test]
    fn a_folder_of_the_hubs_cache_is_named_with_its_snapshot() {
        let cache = tempfile::tempdir().unwrap();
        let root = cache.path().join("models--some--model");
        for commit in ["abc", "def"] {
            std::fs::create_dir_all(root.join("snapshots").join(commit)).unwrap();
        }
        std::fs::create_dir_all(root.join("refs")).unwrap();
        std::fs::write(root.join("refs/main"), "def\n").unwrap();
        for folder in [root.clone(), root.join("snapshots")] {
            let error = ModelSource::Directory(folder).files().unwrap_err().to_string();
            let snapshots = root.join("snapshots").display().to_string();
            let wanted = format!("whose model is in `{snapshots}/def` or `{snapshots}/abc`");
            assert!(error.ends_with(&wanted), "{error}");
        }
    }

    fn single_file(kind: &str) -> String {
        format!("{}/../ddpo-models/tests/fixtures/{kind}_single.safetensors", env!("CARGO_MANIFEST_DIR"))
    }

    #[test]
    fn a_one_file_checkpoint_is_opened_with_what_describes_it() {
        let path = single_file("sd1");
        let config = path.replace("_single.safetensors", "");
        let source = ModelSource::parse(&path, None).unwrap();
        assert_eq!(source, ModelSource::File { path: path.clone().into(), config: None });
        assert_eq!(source.short_name(), "sd1_single");
        let described = source.clone().with_config(Some(&config)).unwrap();
        described.files().unwrap().text("unet/config.json", "a test").unwrap();
        // The same weights with another description are another model.
        let other = source.clone().with_config(Some(&config.replace("sd1", "sd2"))).unwrap();
        assert_ne!(described.fingerprint().unwrap(), other.fingerprint().unwrap());
        let error = source.with_config(Some(&path)).unwrap_err().to_string();
        assert!(error.ends_with("expected a diffusers directory or a hub id"), "{error}");
        let error = ModelSource::Embedded.with_config(Some(&config)).unwrap_err().to_string();
        assert!(error.ends_with("expected none, as only a one-file checkpoint lacks one"), "{error}");
    }

    #[test]
    fn a_file_that_fits_two_models_is_refused_with_both() {
        let error = ModelSource::parse(&single_file("sd2"), None).unwrap().fingerprint().unwrap_err().to_string();
        assert!(
            error.contains("stable-diffusion-2-1 (velocity") && error.contains("stable-diffusion-2-1-base (noise"),
            "{error}"
        );
    }

    #[test]
    fn a_revision_needs_the_hub() {
        assert!(ModelSource::parse("org/name", Some("main")).is_ok());
        assert_eq!(
            ModelSource::parse("emoji", Some("main")).unwrap_err().to_string(),
            "invalid `model.revision`: found `main`, expected none, as only hub models have revisions"
        );
    }
}
