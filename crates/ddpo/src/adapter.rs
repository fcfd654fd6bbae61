//! Adapters as the command line and the configuration name them: a file or a run, and how much of it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An adapter that is put on a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterSource {
    /// A safetensors file, or a run's directory.
    pub path: PathBuf,
    /// What its term is multiplied by: 1 is the adapter as it was trained, 0 is nothing of it.
    pub strength: f64,
}

impl AdapterSource {
    /// What `FILE` or `FILE:0.7` names; `key` is the option it was given to. A path that exists as a whole wins over a name with
    /// a strength behind it, so that a name may have a colon.
    ///
    /// # Errors
    ///
    /// An empty name, or a strength that is no finite number.
    pub fn parse(key: &'static str, text: &str) -> Result<Self> {
        let whole = |path: &str| Self { path: path.into(), strength: 1.0 };
        let invalid = |expected: &str| {
            Err(Error::InvalidOption { key, found: format!("`{text}`"), expected: expected.to_owned() })
        };
        let source = match text.rsplit_once(':') {
            Some((path, strength)) if !Path::new(text).exists() => match strength.parse() {
                Ok(strength) => Self { path: path.into(), strength },
                Err(_) if Path::new(path).exists() => return invalid("a number such as 0.7 behind the colon"),
                Err(_) => whole(text),
            },
            _ => whole(text),
        };
        match source {
            Self { path, .. } if path.as_os_str().is_empty() => invalid("an adapter's file or a run"),
            Self { strength, .. } if !strength.is_finite() => {
                invalid("a finite strength behind the colon, such as 0.7")
            }
            source => Ok(source),
        }
    }

    /// The same adapter from any working directory. A path of nothing stays as it is.
    #[must_use]
    pub fn absolute(self) -> Self {
        match std::path::absolute(&self.path) {
            Ok(path) if self.path.exists() => Self { path, ..self },
            _ => self,
        }
    }
}

/// As it is parsed; the strength is left out where it is 1 and the name alone means the same.
impl fmt::Display for AdapterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let is_plain = self.strength == 1.0 && Self::parse("", &path.to_string()).is_ok_and(|plain| plain == *self);
        if is_plain { write!(f, "{path}") } else { write!(f, "{path}:{}", self.strength) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, path: &str, strength: f64) {
        let source = AdapterSource::parse("--lora", text).unwrap();
        assert_eq!((source.path.as_path(), source.strength), (Path::new(path), strength), "{text}");
        assert_eq!(AdapterSource::parse("--lora", &source.to_string()).unwrap(), source, "{source}");
    }

    fn refused(text: &str) -> String {
        AdapterSource::parse("--lora", text).unwrap_err().to_string()
    }

    #[test]
    fn a_strength_stands_behind_the_last_colon() {
        check("a.safetensors", "a.safetensors", 1.0);
        check("a.safetensors:0.7", "a.safetensors", 0.7);
        check("runs/a:-1", "runs/a", -1.0);
        check("a.safetensors:1", "a.safetensors", 1.0);
        check("c:a:0", "c:a", 0.0);
        // A drive, not a strength.
        check(r"C:\a.safetensors", r"C:\a.safetensors", 1.0);
    }

    #[test]
    fn a_path_that_exists_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a:0.7");
        std::fs::write(&file, "").unwrap();
        let name = file.to_str().unwrap();
        check(name, name, 1.0);
        check(&format!("{name}:0.5"), name, 0.5);
        let error = refused(&format!("{name}:0,5"));
        assert!(error.ends_with("expected a number such as 0.7 behind the colon"), "{error}");
    }

    #[test]
    fn what_is_no_adapter_is_refused() {
        assert_eq!(refused(""), "invalid `--lora`: found ``, expected an adapter's file or a run");
        assert_eq!(refused(":0.5"), "invalid `--lora`: found `:0.5`, expected an adapter's file or a run");
        for strength in ["nan", "inf", "1e999"] {
            let error = refused(&format!("a.safetensors:{strength}"));
            assert!(error.ends_with("expected a finite strength behind the colon, such as 0.7"), "{error}");
        }
    }
}
