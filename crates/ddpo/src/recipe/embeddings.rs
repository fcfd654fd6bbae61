//! Which file a textual-inversion embedding is in: of a folder, of a repository of the hub, or a file alone.

use std::path::{Path, PathBuf};

use ddpo_models::Embedding;

use crate::embedding::EmbeddingSource;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::model::is_pickled;

use super::adapter_files::HubAdapter;

/// Reads an embedding.
///
/// # Errors
///
/// Fails when there is none, or it is of another kind.
pub(super) fn load(source: &EmbeddingSource) -> Result<Embedding> {
    Ok(Embedding::load(&find(&source.path)?, source.token.as_deref())?)
}

/// The embeddings by content and word, so that files may move; nothing if there are none.
///
/// # Errors
///
/// Those of [`load`].
pub(super) fn fingerprint(sources: &[EmbeddingSource]) -> Result<Option<String>> {
    let one = |source: &EmbeddingSource| {
        let path = find(&source.path)?;
        let sum = crate::model::checksum(&path)?;
        Ok(format!("{} is {sum:08x}", Embedding::load(&path, source.token.as_deref())?.token))
    };
    let all: Vec<String> = sources.iter().map(one).collect::<Result<_>>()?;
    Ok((!all.is_empty()).then(|| all.join(", ")))
}

/// The file that a path stands for.
fn find(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        let names = ddpo_train::fs::list_directory(path)?;
        return Ok(path.join(choose(&path.display().to_string(), &names)?));
    }
    match HubAdapter::parse(path) {
        Some(named) => named.fetch_chosen(&Hub::from_env(), &|origin, names| Ok(vec![choose(origin, names)?])),
        None => Ok(path.to_owned()),
    }
}

/// The embedding among the files of a folder or repository: that of diffusers' name, else the one safetensors file there is.
fn choose(origin: &str, names: &[String]) -> Result<String> {
    let files: Vec<&String> =
        names.iter().filter(|name| name.ends_with(".safetensors") && !name.contains('/')).collect();
    if let Some(name) = files.iter().find(|name| name.as_str() == Embedding::FILE_NAME) {
        return Ok((*name).clone());
    }
    match files.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(match names.iter().find(|name| !name.contains('/') && is_pickled(Path::new(name))) {
            Some(pickled) => Error::PickledWeights { path: Path::new(origin).join(pickled) },
            None => Error::NoEmbedding { origin: origin.to_owned() },
        }),
        several => Err(Error::SeveralEmbeddings {
            origin: origin.to_owned(),
            found: several.iter().map(|name| (*name).clone()).collect(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        choose("DIR", &names).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn one_embedding_of_a_folder_is_found() {
        assert_eq!(chosen(&["learned_embeds.safetensors", "style.safetensors"]), "learned_embeds.safetensors");
        assert_eq!(chosen(&["README.md", "style.safetensors"]), "style.safetensors");
        assert!(chosen(&["a.safetensors", "b.safetensors"]).contains("a.safetensors, b.safetensors"));
        assert!(chosen(&["README.md"]).contains("learned_embeds.safetensors"));
        assert!(chosen(&["learned_embeds.bin"]).contains("learned_embeds.bin"));
    }
}
