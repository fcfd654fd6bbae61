//! Textual-inversion embeddings as the command line and the configuration name them: a file, and the word for it.

use std::fmt;
use std::path::{Path, PathBuf};

/// An embedding that is put on a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingSource {
    /// A safetensors file, a folder that holds one, or a hub id.
    pub path: PathBuf,
    /// The word for it, where it is not to be the file's own.
    pub token: Option<String>,
}

impl EmbeddingSource {
    /// What `FILE` or `FILE:WORD` names. A path that exists wins over a shorter one with a word behind it, so that a name may have a
    /// colon, and so may a word.
    pub fn parse(text: &str) -> Self {
        let colons = text.rmatch_indices(':').map(|(at, _)| at);
        let exists = |at: &usize| Path::new(&text[..*at]).exists() && *at + 1 < text.len();
        // A drive's colon is before a separator.
        let last =
            text.rfind(':').filter(|at| *at > 1 && *at + 1 < text.len() && !text[at + 1..].contains(['/', '\\']));
        let colon = if Path::new(text).exists() { None } else { colons.into_iter().find(exists).or(last) };
        match colon {
            Some(at) => Self { path: text[..at].into(), token: Some(text[at + 1..].to_owned()) },
            None => Self { path: text.into(), token: None },
        }
    }

    /// The same embedding from any working directory. A path of nothing stays as it is.
    #[must_use]
    pub fn absolute(self) -> Self {
        match std::path::absolute(&self.path) {
            Ok(path) if self.path.exists() => Self { path, ..self },
            _ => self,
        }
    }
}

/// As it is parsed.
impl fmt::Display for EmbeddingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.token {
            Some(token) => write!(f, "{}:{token}", self.path.display()),
            None => write!(f, "{}", self.path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, token: Option<&str>) {
        let source = EmbeddingSource::parse(text);
        assert_eq!((source.path.as_path(), source.token.as_deref()), (Path::new(path), token), "{text}");
        assert_eq!(EmbeddingSource::parse(&source.to_string()), source);
    }

    #[test]
    fn a_word_stands_behind_a_colon() {
        check("a.safetensors", "a.safetensors", None);
        check("a.safetensors:<toy>", "a.safetensors", Some("<toy>"));
        check("org/name:toy", "org/name", Some("toy"));
        check(r"C:\a.safetensors", r"C:\a.safetensors", None);
        check("a.safetensors:", "a.safetensors:", None);
    }

    #[test]
    fn a_path_that_exists_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a:b.safetensors");
        std::fs::write(&file, "").unwrap();
        let name = file.to_str().unwrap();
        check(name, name, None);
        check(&format!("{name}:x:y/z"), name, Some("x:y/z"));
    }
}
