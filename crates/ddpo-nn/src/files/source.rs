//! A model's files by name, from a directory or from the program itself.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    ops::{Deref, Range},
    path::{Path, PathBuf},
    sync::Arc,
};

use memmap2::{Mmap, MmapOptions};

use super::refuse_lfs_pointer;
use crate::error::{Error, Result};

/// The files of a model, in the layout of a diffusers directory.
#[derive(Clone, Debug)]
pub enum ModelFiles {
    /// A directory.
    Directory(PathBuf),
    /// Files inside the program, each with its path relative to the model's root, such as `unet/config.json`.
    Embedded(&'static [(&'static str, &'static [u8])]),
    /// Files in memory, by their path relative to the model's root.
    Memory(Arc<BTreeMap<String, Arc<[u8]>>>),
}

/// The content of a file.
#[derive(Debug)]
pub enum Bytes {
    /// On the disk, mapped into memory.
    Mapped(MappedFile),
    /// In the program.
    Static(&'static [u8]),
    /// In memory.
    Shared(Arc<[u8]>),
}

/// A memory-mapped file, from [`map`].
#[derive(Debug)]
pub struct MappedFile {
    path: PathBuf,
    file: File,
    whole: Mmap,
}

impl Bytes {
    /// Calls `body` with a part of the content, empty if there is no such part.
    ///
    /// Of a file, the part is mapped for the while only: the pages of weights that have been read do not stay with the
    /// process beside the weights.
    ///
    /// # Errors
    ///
    /// If the part of a file cannot be mapped.
    pub fn with_part<R>(&self, range: Range<usize>, body: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let Self::Mapped(mapped) = self else { return Ok(body(self.get(range).unwrap_or_default())) };
        if range.is_empty() || range.end > mapped.whole.len() {
            return Ok(body(&[]));
        }
        let mut options = MmapOptions::new();
        options.offset(range.start as u64).len(range.len());
        // SAFETY: as in `map`.
        let part = unsafe { options.map(&mapped.file) }.map_err(read_error(&mapped.path))?;
        Ok(body(&part))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(mapped) => &mapped.whole,
            Self::Static(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

impl ModelFiles {
    /// The largest text file that is read: no configuration or vocabulary comes near it.
    const LARGEST_TEXT: u64 = 64 << 20;

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(root) => root.join(name).is_file(),
            Self::Embedded(files) => files.iter().any(|(file, _)| *file == name),
            Self::Memory(files) => files.contains_key(name),
        }
    }

    /// A text file such as a configuration; `wanted` says what for.
    ///
    /// # Errors
    ///
    /// If it is not there, cannot be read, or is absurdly long.
    pub fn text(&self, name: &str, wanted: &str) -> Result<Vec<u8>> {
        let Self::Directory(root) = self else {
            return Ok(self.bytes(name, wanted)?.to_vec());
        };
        let path = root.join(name);
        if !path.is_file() {
            return Err(self.missing(name, wanted));
        }
        let mut text = Vec::new();
        let file = File::open(&path).map_err(read_error(&path))?;
        // One byte more than allowed tells a file that is too long from one that just fits.
        file.take(Self::LARGEST_TEXT + 1).read_to_end(&mut text).map_err(read_error(&path))?;
        if text.len() as u64 > Self::LARGEST_TEXT {
            let reason = format!("more than {} bytes found, fewer wanted", Self::LARGEST_TEXT);
            return Err(Error::Json { name: name.to_owned(), reason });
        }
        refuse_lfs_pointer(&path.display().to_string(), &text)?;
        Ok(text)
    }

    /// A weight file, memory-mapped where that is possible; `wanted` says what for.
    ///
    /// # Errors
    ///
    /// If it is not there or cannot be read.
    pub fn bytes(&self, name: &str, wanted: &str) -> Result<Bytes> {
        match self {
            Self::Directory(root) if root.join(name).is_file() => map(&root.join(name)),
            Self::Directory(_) => Err(self.missing(name, wanted)),
            Self::Embedded(files) => match files.iter().find(|(file, _)| *file == name) {
                Some((_, bytes)) => Ok(Bytes::Static(bytes)),
                None => Err(self.missing(name, wanted)),
            },
            Self::Memory(files) => match files.get(name) {
                Some(bytes) => Ok(Bytes::Shared(bytes.clone())),
                None => Err(self.missing(name, wanted)),
            },
        }
    }

    /// The error of a file that is not there.
    pub fn missing(&self, name: &str, wanted: &str) -> Error {
        let origin = match self {
            Self::Directory(root) => root.display().to_string(),
            Self::Embedded(_) => "embedded model".to_owned(),
            Self::Memory(_) => "model in memory".to_owned(),
        };
        Error::MissingFile { origin, name: name.to_owned(), wanted: wanted.to_owned() }
    }
}

/// Maps a whole file; an empty one, which cannot be mapped, is empty.
///
/// # Errors
///
/// If it cannot be opened or mapped.
pub fn map(path: &Path) -> Result<Bytes> {
    let file = File::open(path).map_err(read_error(path))?;
    if file.metadata().map_err(read_error(path))?.len() == 0 {
        return Ok(Bytes::Static(&[]));
    }
    // SAFETY: the map is read only, once, while weights are loaded. A process that truncates the file in
    // that moment ends this one with SIGBUS; model files are not written in place by anything that follows the rules here.
    let whole = unsafe { Mmap::map(&file) }.map_err(read_error(path))?;
    refuse_lfs_pointer(&path.display().to_string(), &whole)?;
    Ok(Bytes::Mapped(MappedFile { path: path.to_owned(), file, whole }))
}

fn read_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<'_> {
    move |source| Error::Io { action: "read", path: path.to_owned(), source }
}
