//! The one place of this crate that touches the disk.

mod scores;

pub use scores::{KnownScore, ScoreFile};

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ddpo_core::{RewardBatch, RgbImage};

use crate::{Error, Result};

/// The folders that there are.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Removes the pictures of all requests. What cannot be removed is left to the system, whose temporary folder it is in.
pub fn remove_all() {
    let folders = std::mem::take(&mut *FOLDERS.lock().unwrap_or_else(PoisonError::into_inner));
    folders.into_iter().for_each(|folder| drop(std::fs::remove_dir_all(folder)));
}

/// A folder for the pictures of one request, gone when it is dropped.
pub struct Pictures {
    folder: tempfile::TempDir,
    /// The files, in the order of the images.
    pub paths: Vec<PathBuf>,
}

impl Pictures {
    /// Writes the images of a batch as 8-bit RGB PNG files.
    pub fn write(batch: &RewardBatch<'_>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ddpo-").tempdir();
        let folder = folder.map_err(|source| Error::Picture { path: std::env::temp_dir(), source: source.into() })?;
        FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).push(folder.path().to_owned());
        let mut pictures = Self { folder, paths: Vec::with_capacity(batch.images.len()) };
        batch.images.iter().try_for_each(|image| pictures.push(image))?;
        Ok(pictures)
    }

    fn push(&mut self, image: &RgbImage) -> Result<()> {
        let path = self.folder.path().join(format!("{:04}.png", self.paths.len()));
        image::save_buffer(&path, image.pixels(), image.width(), image.height(), image::ColorType::Rgb8)
            .map_err(|error| Error::Picture { path: path.clone(), source: error.into() })?;
        self.paths.push(path);
        Ok(())
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        FOLDERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|folder| folder != self.folder.path());
    }
}

/// Whether a file of this name is in `directory`.
pub fn is_file(directory: &Path, name: &str) -> bool {
    directory.join(name).is_file()
}

/// How to call `text` as a program, where it is the name of a file and not that of a reward.
pub fn as_program(text: &str) -> Option<String> {
    let path = Path::new(text);
    let looks_like_one =
        path.is_file() || path.extension().is_some_and(|extension| extension == "py" || extension == "sh");
    let bare = path.parent().is_some_and(|parent| parent.as_os_str().is_empty());
    looks_like_one.then(|| if bare { format!("./{text}") } else { text.to_owned() })
}
