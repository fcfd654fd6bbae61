//! The run directory: one run, one process, nothing overwritten.

use std::fmt;
use std::path::{Path, PathBuf};

use ddpo_train::fs::{self, RunLock};

use crate::error::{Error, Result};
use crate::hub::Hub;

use super::adapter_files::{HubAdapter, in_folder};

/// What a run leaves in its directory; the presence of one of these makes a directory a run.
const MARKS: [&str; 3] = [RunDirectory::CONFIG, "metrics.jsonl", "checkpoints"];

/// A run directory that this process holds.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    config: String,
    resumed: bool,
    /// Held for as long as the directory is used.
    _lock: Option<RunLock>,
}

/// What a run has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Product {
    /// A LoRA file, or a folder in which the UNet and the text encoder have one each.
    Adapter(PathBuf),
    /// A diffusers directory with a new UNet.
    Model(PathBuf),
}

impl Product {
    /// The product in a run directory; the adapter file that `path` is, the one in a folder of other programs, or that of a
    /// repository of the hub, `org/name`.
    ///
    /// # Errors
    ///
    /// Fails when the run has no product yet, when a folder or repository holds no adapter or several, and when the hub does not
    /// give it.
    pub fn find(path: &Path) -> Result<Self> {
        Self::find_in(path, &Hub::from_env())
    }

    /// As [`Product::find`], with this hub.
    ///
    /// # Errors
    ///
    /// Those of [`Product::find`].
    pub fn find_in(path: &Path, hub: &Hub) -> Result<Self> {
        if !path.is_dir() {
            return match HubAdapter::parse(path) {
                Some(adapter) => Ok(Self::Adapter(adapter.fetch(hub)?)),
                None => Ok(Self::Adapter(path.to_owned())),
            };
        }
        let is_run = MARKS.iter().any(|mark| RunDirectory::of_product(path).join(mark).exists());
        let (adapter, model) = (path.join(RunDirectory::LORA), path.join(RunDirectory::MODEL));
        match (adapter.is_file(), model.join("model_index.json").is_file()) {
            (true, _) if is_run => Ok(Self::Adapter(adapter)),
            (_, true) => Ok(Self::Model(model)),
            _ if is_run => Err(Error::NoProduct { path: path.to_owned() }),
            _ => Ok(Self::Adapter(in_folder(path)?)),
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adapter(path) | Self::Model(path) => write!(f, "{}", path.display()),
        }
    }
}

impl RunDirectory {
    /// The resolved configuration.
    pub const CONFIG: &'static str = "config.toml";
    /// The product of a run that trains an adapter.
    pub const LORA: &'static str = "pytorch_lora_weights.safetensors";
    /// Where the product of the best evaluation is, laid out as the run's own.
    pub const BEST: &'static str = "best";
    /// The product of a run that trains the whole UNet.
    pub const MODEL: &'static str = "model";

    /// The run whose product is in a directory: the best product lies in a directory of the run's own.
    pub fn of_product(path: &Path) -> &Path {
        let is_best = path.ends_with(Self::BEST) && !path.join(Self::CONFIG).is_file();
        path.parent().filter(|_| is_best).unwrap_or(path)
    }

    /// Refuses a directory that holds a run already.
    ///
    /// # Errors
    ///
    /// [`Error::RunExists`].
    pub fn check_new(path: &Path) -> Result<()> {
        if MARKS.iter().any(|mark| path.join(mark).exists()) {
            return Err(Error::RunExists { path: path.to_owned() });
        }
        Ok(())
    }

    /// Refuses what is not the directory of a run.
    ///
    /// # Errors
    ///
    /// [`Error::NotARun`].
    pub fn check(path: &Path) -> Result<()> {
        let missing = || (!path.join(Self::CONFIG).is_file()).then_some("it has no config.toml");
        match crate::paths::why_no_directory(path).or_else(missing) {
            None => Ok(()),
            Some(reason) => Err(Error::NotARun { path: path.to_owned(), reason }),
        }
    }

    /// Takes a new directory and writes the configuration into it.
    ///
    /// # Errors
    ///
    /// Fails when there is a run in it, another process holds it, or it cannot be written.
    pub fn create(path: &Path, config: &str) -> Result<Self> {
        fs::create_directory(path)?;
        let lock = RunLock::acquire(path)?;
        Self::check_new(path)?;
        fs::write_atomic(&path.join(Self::CONFIG), config.as_bytes())?;
        Ok(Self { path: path.to_owned(), config: config.to_owned(), resumed: false, _lock: Some(lock) })
    }

    /// Takes the directory of a run to go on with it under the configuration `config`, which is not written yet: it
    /// may turn out not to fit the run.
    ///
    /// # Errors
    ///
    /// Fails when there is no run in it or another process holds it.
    pub fn resume(path: &Path, config: &str) -> Result<Self> {
        Self::read_config(path)?;
        let lock = RunLock::acquire(path)?;
        Ok(Self { path: path.to_owned(), config: config.to_owned(), resumed: true, _lock: Some(lock) })
    }

    /// The directory that the first of several ranks holds: this process touches nothing of it.
    pub(super) fn of_first_rank(path: &Path, config: &str) -> Self {
        Self { path: path.to_owned(), config: config.to_owned(), resumed: false, _lock: None }
    }

    /// Replaces the configuration in the directory by the one the run goes on with.
    pub(super) fn write_config(&self) -> Result<()> {
        Ok(fs::write_atomic(&self.path.join(Self::CONFIG), self.config.as_bytes())?)
    }

    /// The resolved configuration of this process's run.
    pub fn config(&self) -> &str {
        &self.config
    }

    /// The configuration of the run in a directory.
    ///
    /// # Errors
    ///
    /// [`Error::NotARun`] when there is none.
    pub fn read_config(path: &Path) -> Result<String> {
        Self::check(path)?;
        crate::images::read_text(&path.join(Self::CONFIG))
    }

    /// The first of `PARENT/NAME-001`, `-002`, … that is free.
    pub fn next_free(parent: &Path, name: &str) -> PathBuf {
        let numbered = |number: u32| parent.join(format!("{name}-{number:03}"));
        (1..).map(numbered).find(|path| !path.exists()).unwrap_or_else(|| parent.join(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it goes on with an earlier run.
    pub fn is_resumed(&self) -> bool {
        self.resumed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_never_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        drop(RunDirectory::create(&path, "x = 1\n").unwrap());
        let error = RunDirectory::create(&path, "x = 2\n").unwrap_err();
        assert!(matches!(error, Error::RunExists { .. }), "{error}");
        assert_eq!(RunDirectory::read_config(&path).unwrap(), "x = 1\n");
    }

    #[test]
    fn two_runs_cannot_share_a_directory() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let first = RunDirectory::create(&path, "").unwrap();
        let error = RunDirectory::resume(&path, "").unwrap_err().to_string();
        assert!(error.contains("in use"), "{error}");
        drop(first);
        assert!(RunDirectory::resume(&path, "").unwrap().is_resumed());
    }

    #[test]
    fn an_empty_directory_cannot_be_resumed() {
        let parent = tempfile::tempdir().unwrap();
        let error = RunDirectory::resume(parent.path(), "").unwrap_err();
        assert!(matches!(error, Error::NotARun { .. }), "{error}");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn names_are_numbered() {
        let parent = tempfile::tempdir().unwrap();
        std::fs::create_dir(parent.path().join("emoji-001")).unwrap();
        assert!(RunDirectory::next_free(parent.path(), "emoji").ends_with("emoji-002"));
    }
}
