//! Where a model comes from: embedded, a directory, the hub.

use std::fmt;
use std::path::{Path, PathBuf};

use ddpo_nn::ModelFiles;

use crate::error::{Error, Result};
use crate::hub::{Hub, HubEvent, HubModel};

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
            "" => return Err(invalid("model.path", "an empty name", "`emoji`, a diffusers directory or a hub id")),
            Self::EMBEDDED => Self::Embedded,
            _ if !Path::new(path).exists() && is_hub_id(id) => {
                return Ok(Self::Hub { id: id.to_owned(), revision: revision.map(String::from) });
            }
            _ => Self::Directory(path.into()),
        };
        match revision.filter(|_| inline_revision.is_none()) {
            None => Ok(source),
            Some(revision) => Err(invalid("model.revision", revision, "none, as only hub models have revisions")),
        }
    }
}

impl ModelSource {
    /// The model's files.
    ///
    /// # Errors
    ///
    /// Fails when the model is not there, or is something other than a diffusers directory.
    pub fn files(&self) -> Result<ModelFiles> {
        match self {
            Self::Embedded if EMOJI.is_empty() => Err(Error::NoEmbeddedModel),
            Self::Embedded => Ok(ModelFiles::Embedded(EMOJI)),
            Self::Directory(path) => check_directory(path).map(|()| ModelFiles::Directory(path.clone())),
            Self::Hub { .. } => self.resolve(&Hub::from_env(), None, &mut |_| {})?.files(),
        }
    }

    /// The same source without the hub: a model of the hub becomes its directory in the cache, fetched if it has to be.
    ///
    /// # Errors
    ///
    /// Those of [`Hub::fetch`].
    pub fn resolve(&self, hub: &Hub, variant: Option<&str>, on_event: &mut dyn FnMut(HubEvent<'_>)) -> Result<Self> {
        match self.hub_model(variant) {
            Some(model) => Ok(Self::Directory(hub.fetch(model, on_event)?)),
            None => Ok(self.clone()),
        }
    }

    fn hub_model<'a>(&'a self, variant: Option<&'a str>) -> Option<HubModel<'a>> {
        let Self::Hub { id, revision } = self else { return None };
        Some(HubModel { id, revision: revision.as_deref().unwrap_or(Hub::MAIN), variant })
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
            Self::Hub { .. } => {}
        }
        Ok(format!("weights {:08x}", hash.finalize()))
    }

    /// A short name for run directories.
    pub fn short_name(&self) -> String {
        let name = match self {
            Self::Embedded => Self::EMBEDDED.to_owned(),
            Self::Directory(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
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

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str(Self::EMBEDDED),
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Hub { id, revision: None } => f.write_str(id),
            Self::Hub { id, revision: Some(revision) } => write!(f, "{id}@{revision}"),
        }
    }
}

/// `organisation/name`, both of the letters the hub allows.
fn is_hub_id(text: &str) -> bool {
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
    fn a_revision_needs_the_hub() {
        assert!(ModelSource::parse("org/name", Some("main")).is_ok());
        assert_eq!(
            ModelSource::parse("emoji", Some("main")).unwrap_err().to_string(),
            "invalid `model.revision`: found `main`, expected none, as only hub models have revisions"
        );
    }
}
