//! From the option that names a model to its files.

use std::path::Path;

use ddpo_nn::{FoundWeights, ModelFiles, TensorFile, WeightNames, find_weights, open_weights};

use super::{ModelFailure, NetworkDtype, Repository, repository::Choose};
use crate::{Result, RewardContext};

/// The model of a reward: a directory, or a repository of the hub.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    /// The kind of the reward, for errors.
    pub kind: &'static str,
    /// What the option says.
    pub model: &'a str,
    /// The revision, if it is of the hub; empty for the published one, or else `main`.
    pub revision: &'a str,
    /// What is known of the repository that is the default.
    pub published: &'a Published,
}

/// What is known of a repository that people use.
#[derive(Debug)]
pub(super) struct Published {
    /// `organisation/name`.
    pub id: &'static str,
    /// The commit that is taken unless another is asked for, so that a reward is the same on every machine; `main` where none is known.
    pub revision: &'static str,
    /// What it holds, and how large that is.
    pub about: &'static str,
    /// The licence of its weights.
    pub licence: &'static str,
    /// Picks what is needed out of its files.
    pub choose: Choose,
}

impl Source<'_> {
    /// The repository, if the model is none on the disk.
    pub fn repository(&self) -> Option<Repository> {
        if Path::new(self.model).is_dir() || !is_hub_id(self.model) {
            return None;
        }
        let is_known = self.model == self.published.id;
        let by_default = if is_known { self.published.revision } else { "main" };
        Some(Repository {
            id: self.model.to_owned(),
            revision: if self.revision.is_empty() { by_default } else { self.revision }.to_owned(),
            about: is_known.then_some(self.published.about),
            licence: is_known.then_some(self.published.licence),
            choose: self.published.choose,
        })
    }

    /// Whether the model is a directory that is there, or of the hub.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn check(&self) -> Result<()> {
        if Path::new(self.model).is_dir() || is_hub_id(self.model) {
            return Ok(());
        }
        Err(ModelFailure::Missing { kind: self.kind.to_owned(), model: self.model.to_owned() }.into())
    }

    /// The files of the model.
    ///
    /// # Errors
    ///
    /// If it is not there, or cannot be fetched.
    pub fn files(&self, context: &RewardContext) -> Result<ModelFiles> {
        self.check()?;
        let kind = self.kind.to_owned();
        let Some(repository) = self.repository() else {
            return Ok(ModelFiles::Directory(self.model.into()));
        };
        let id = repository.id.clone();
        let Some(repositories) = &context.repositories else {
            return Err(ModelFailure::NoHub { kind, id }.into());
        };
        match repositories.directory(&repository) {
            Ok(directory) => Ok(ModelFiles::Directory(directory)),
            Err(source) => Err(ModelFailure::Fetch { kind, id, source }.into()),
        }
    }

    /// What tells a network of these files, for rewards of this kind, from others.
    pub fn network(&self, dtype: NetworkDtype) -> String {
        format!("{} {} {} {dtype:?}", self.kind, self.model, self.revision)
    }

    /// An error of its files.
    pub fn failed(&self, source: ddpo_nn::Error) -> crate::Error {
        let (kind, model) = (self.kind.to_owned(), self.model.to_owned());
        ModelFailure::Network { kind, model, source: Box::new(source) }.into()
    }
}

/// Makes a path among the options mean the same from any working directory; what is no path stays.
pub(super) fn anchor(options: &mut toml::Table, key: &str, directory: &Path) {
    let Some(toml::Value::String(path)) = options.get_mut(key) else { return };
    if Path::new(path.as_str()).exists() {
        *path = directory.join(path.as_str()).to_string_lossy().into_owned();
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

/// The weights of a model, in the names of transformers, or else of OpenCLIP.
///
/// # Errors
///
/// If there are none, or they are damaged.
pub(super) fn weights(files: &ModelFiles) -> ddpo_nn::Result<TensorFile> {
    let has = |name: &str| files.has(name);
    match find_weights(&has, "", WeightNames::OPEN_CLIP, None) {
        // A repository with both layouts has them at the same time, and the first is tried first.
        Ok(Some(_)) if !matches!(find_weights(&has, "", WeightNames::TRANSFORMERS, None), Ok(Some(_))) => {
            open_weights(files, "", WeightNames::OPEN_CLIP, None)
        }
        _ => open_weights(files, "", WeightNames::TRANSFORMERS, None),
    }
}

/// Of a listing those of `names` that are there, and the weights.
///
/// # Errors
///
/// If the weights are pickled only.
pub(super) fn with_weights(listing: &[String], names: &[&str]) -> ddpo_nn::Result<Vec<String>> {
    let has = |name: &str| listing.iter().any(|file| file == name);
    let mut files: Vec<String> = names.iter().filter(|name| has(name)).map(|name| (*name).to_owned()).collect();
    let found = match find_weights(&has, "", WeightNames::TRANSFORMERS, None) {
        Ok(None) => find_weights(&has, "", WeightNames::OPEN_CLIP, None)?,
        Err(error) => Some(find_weights(&has, "", WeightNames::OPEN_CLIP, None).ok().flatten().ok_or(error)?),
        Ok(found) => found,
    };
    match found {
        Some(FoundWeights::File(name) | FoundWeights::Index(name)) => files.push(name),
        None => {
            let name = "model.safetensors".to_owned();
            let (origin, wanted) = ("the repository".to_owned(), "the weights".to_owned());
            return Err(ddpo_nn::Error::MissingFile { origin, name, wanted });
        }
    }
    Ok(files)
}

/// The files of a CLIP: descriptions, tokenizer, weights.
pub(super) fn clip_files(listing: &[String]) -> ddpo_nn::Result<Vec<String>> {
    const NAMES: [&str; 8] = [
        "config.json",
        "open_clip_config.json",
        "preprocessor_config.json",
        "vocab.json",
        "merges.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
    ];
    with_weights(listing, &NAMES)
}

/// The files of CLIP's tokenizer alone.
pub(super) fn tokenizer_files(listing: &[String]) -> ddpo_nn::Result<Vec<String>> {
    const NAMES: [&str; 4] = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];
    Ok(listing.iter().filter(|file| NAMES.contains(&file.as_str())).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_clip_are_picked() {
        let listing = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = listing(&["README.md", "config.json", "pytorch_model.bin", "model.safetensors", "vocab.json"]);
        assert_eq!(clip_files(&all).unwrap(), ["config.json", "vocab.json", "model.safetensors"]);
        let open = listing(&["open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"]);
        assert_eq!(clip_files(&open).unwrap(), ["open_clip_config.json", "open_clip_model.safetensors"]);
        assert!(clip_files(&listing(&["pytorch_model.bin"])).unwrap_err().to_string().contains("pickled"));
        assert!(clip_files(&listing(&["config.json"])).unwrap_err().to_string().contains("model.safetensors"));
    }

    #[test]
    fn a_directory_is_the_same_from_any_place() {
        let mut options: toml::Table = "model = 'src'\nhead = 'org/name'".parse().unwrap();
        anchor(&mut options, "model", Path::new("/somewhere"));
        anchor(&mut options, "head", Path::new("/somewhere"));
        assert_eq!(options["model"].as_str(), Some("/somewhere/src"));
        assert_eq!(options["head"].as_str(), Some("org/name"));
    }

    #[test]
    fn hub_ids_are_told_from_paths() {
        assert!(is_hub_id("openai/clip-vit-large-patch14"));
        for path in ["./model", "/a/b", "model", "a/b/c", "../m"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
