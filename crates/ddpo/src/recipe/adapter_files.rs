//! Which files an adapter is in: of a folder, of a repository of the hub, or a file alone.

use std::path::{Path, PathBuf};

use ddpo_models::{Adapter, Lora};

use crate::error::{Error, Result};
use crate::hub::{Hub, HubModel};
use crate::model::{is_hub_id, is_pickled};

/// The folders of a pipeline's parts, in which PEFT's scripts put a file each.
const PARTS: [&str; 2] = ["unet", "text_encoder"];

/// Parts of the names of files which training scripts leave beside an adapter; diffusers passes over the same.
const OTHERS: [&str; 3] = ["scheduler", "optimizer", "checkpoint"];

/// The adapter among the files of a folder or repository, listed by their names relative to it: one file, or PEFT's for the UNet and
/// for the text encoder.
///
/// # Errors
///
/// Fails when there is none, and when several could be meant.
pub(crate) fn choose(origin: &str, names: &[String]) -> Result<Vec<String>> {
    let has = |name: &str| names.iter().any(|other| other == name);
    let mut candidates: Vec<Vec<String>> = Vec::new();
    for name in [Lora::FILE_NAME, Adapter::PEFT_FILE] {
        candidates.extend(has(name).then(|| vec![name.to_owned()]));
    }
    let parts: Vec<String> = PARTS.map(|part| format!("{part}/{}", Adapter::PEFT_FILE)).to_vec();
    let parts: Vec<String> = parts.into_iter().filter(|name| has(name)).collect();
    candidates.extend((!parts.is_empty()).then_some(parts));
    if candidates.is_empty() {
        let is_plain = |name: &&String| {
            name.ends_with(".safetensors") && !name.contains('/') && !OTHERS.iter().any(|other| name.contains(other))
        };
        candidates.extend(names.iter().filter(is_plain).map(|name| vec![name.clone()]));
    }
    match candidates.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(none(origin, names)),
        several => Err(Error::SeveralAdapters {
            origin: origin.to_owned(),
            found: several.iter().map(|names| names.join(" with ")).collect(),
        }),
    }
}

fn none(origin: &str, names: &[String]) -> Error {
    match names.iter().find(|name| !name.contains('/') && is_pickled(Path::new(name))) {
        Some(pickled) => Error::PickledWeights { path: Path::new(origin).join(pickled) },
        None => Error::NoAdapter { origin: origin.to_owned() },
    }
}

/// The adapter in a folder: a file in it, or the folder itself where its parts are in folders of their own.
pub(super) fn in_folder(folder: &Path) -> Result<PathBuf> {
    let mut names = ddpo_train::fs::list_directory(folder)?;
    names.extend(PARTS.map(|part| format!("{part}/{}", Adapter::PEFT_FILE)));
    names.retain(|name| folder.join(name).is_file());
    let chosen = choose(&folder.display().to_string(), &names)?;
    Ok(place(folder, &chosen))
}

/// Where the chosen files of a folder are, as one path.
fn place(folder: &Path, chosen: &[String]) -> PathBuf {
    match chosen {
        [file] if !file.contains('/') || !file.ends_with(Adapter::PEFT_FILE) => folder.join(file),
        _ => folder.to_owned(),
    }
}

/// The files that a path stands for, of those that [`in_folder`] gives.
pub(super) fn parts(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let files = PARTS.map(|part| path.join(part).join(Adapter::PEFT_FILE));
    files.into_iter().filter(|file| file.is_file()).collect()
}

/// Picks files out of those of a folder or repository, which is named first.
type Choose<'a> = &'a dyn Fn(&str, &[String]) -> Result<Vec<String>>;

/// An adapter of the hub: `org/name`, `org/name@revision`, and a file behind it where there are several.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HubAdapter {
    id: String,
    revision: String,
    file: Option<String>,
}

impl HubAdapter {
    /// What a path of nothing names, if that is no path: its first folder is not there either.
    pub(super) fn parse(path: &Path) -> Option<Self> {
        let text = path.to_str()?;
        let (organisation, rest) = text.split_once('/')?;
        if path.exists() || Path::new(organisation).exists() {
            return None;
        }
        let (name, file) = rest.split_once('/').map_or((rest, None), |(name, file)| (name, Some(file.to_owned())));
        let (name, revision) = name.split_once('@').unwrap_or((name, Hub::MAIN));
        let is_file = |name: &str| name.ends_with(".safetensors");
        let id = format!("{organisation}/{name}");
        (is_hub_id(&id) && !is_file(name) && file.as_deref().is_none_or(is_file)).then(|| Self {
            id,
            revision: revision.to_owned(),
            file,
        })
    }

    /// The adapter in the cache, fetched where it is missing.
    pub(super) fn fetch(&self, hub: &Hub) -> Result<PathBuf> {
        self.fetch_chosen(hub, &choose)
    }

    /// What `choose` takes of the repository, in the cache, fetched where it is missing.
    pub(super) fn fetch_chosen(&self, hub: &Hub, choose: Choose<'_>) -> Result<PathBuf> {
        let model = HubModel { id: &self.id, revision: &self.revision, variant: None, weights: true };
        let wanted = |listing: &[String]| -> Result<Vec<String>> {
            let chosen = match &self.file {
                None => choose(&self.id, listing)?,
                Some(file) if listing.contains(file) => vec![file.clone()],
                Some(file) => return Err(Error::NoAdapter { origin: format!("{}/{file}", self.id) }),
            };
            let beside = chosen.iter().map(|name| with_name(name, Adapter::PEFT_CONFIG));
            let beside: Vec<String> = beside.filter(|name| listing.contains(name)).collect();
            Ok(chosen.into_iter().chain(beside).collect())
        };
        let (snapshot, files) = hub.fetch_files(model, &wanted, &mut |_| {})?;
        let weights: Vec<String> = files.into_iter().filter(|name| name.ends_with(".safetensors")).collect();
        Ok(match &self.file {
            Some(file) => snapshot.join(file),
            None => place(&snapshot, &weights),
        })
    }
}

/// The file of this name in the folder of another.
fn with_name(path: &str, name: &str) -> String {
    path.rsplit_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
}

/// The checksum of all that an adapter is made of.
pub(super) fn checksum(path: &Path) -> Result<String> {
    let mut sums = Vec::new();
    for file in parts(path) {
        sums.push(format!("{:08x}", crate::model::checksum(&file)?));
        let config = file.with_file_name(Adapter::PEFT_CONFIG);
        if config.is_file() && file.ends_with(Adapter::PEFT_FILE) {
            sums.push(format!("{:08x}", crate::model::checksum(&config)?));
        }
    }
    Ok(sums.join("+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(names: &[&str], expected: &[&str]) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(choose("DIR", &names).unwrap(), expected);
    }

    #[track_caller]
    fn refused(names: &[&str], expected: &str) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(choose("DIR", &names).unwrap_err().to_string(), expected);
    }

    #[test]
    fn one_adapter_of_a_folder_is_found() {
        check(
            &["README.md", "pytorch_lora_weights.safetensors", "style.safetensors"],
            &["pytorch_lora_weights.safetensors"],
        );
        check(&["adapter_config.json", "adapter_model.safetensors"], &["adapter_model.safetensors"]);
        check(
            &["unet/adapter_model.safetensors", "text_encoder/adapter_model.safetensors", "logs/x.safetensors"],
            &["unet/adapter_model.safetensors", "text_encoder/adapter_model.safetensors"],
        );
        check(&["style.safetensors", "optimizer.safetensors", "checkpoint-500.safetensors"], &["style.safetensors"]);
    }

    #[test]
    fn what_could_be_two_adapters_is_refused_with_both() {
        refused(
            &["a.safetensors", "b.safetensors"],
            "`DIR` holds several adapters: a.safetensors, b.safetensors; wanted one, or a file's name behind the folder",
        );
        refused(
            &["pytorch_lora_weights.safetensors", "adapter_model.safetensors"],
            "`DIR` holds several adapters: pytorch_lora_weights.safetensors, adapter_model.safetensors; \
             wanted one, or a file's name behind the folder",
        );
        refused(
            &["README.md"],
            "`DIR` holds no adapter: wanted pytorch_lora_weights.safetensors, adapter_model.safetensors, or another file.safetensors",
        );
        let error = choose("DIR", &["pytorch_lora_weights.bin".to_owned()]).unwrap_err();
        assert!(matches!(error, Error::PickledWeights { .. }), "{error}");
    }

    #[test]
    fn names_of_the_hub_are_no_paths() {
        let check = |text: &str, expected: Option<(&str, &str, Option<&str>)>| {
            let found = HubAdapter::parse(Path::new(text));
            let expected = expected.map(|(id, revision, file)| HubAdapter {
                id: id.into(),
                revision: revision.into(),
                file: file.map(String::from),
            });
            assert_eq!(found, expected, "{text}");
        };
        check("org/name", Some(("org/name", "main", None)));
        check("org/name@v1.0", Some(("org/name", "v1.0", None)));
        check("org/name/a/b.safetensors", Some(("org/name", "main", Some("a/b.safetensors"))));
        for text in ["src/name", "name", "org/name.safetensors", "./org/name", "/org/name", "org/name/config.json"] {
            check(text, None);
        }
    }
}
