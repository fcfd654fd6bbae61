//! Whole files: written to a temporary name, synced and renamed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Writes `bytes` to `path` so that a reader finds the old content or the new one, never a part of either.
///
/// The bytes go to `.NAME.tmp` in the same directory, are synced, renamed, and the directory is synced. A
/// temporary file left by a killed process is overwritten by the next write to the same path.
///
/// # Errors
/// [`Error::Io`] with the path; the old content is then still there.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary_sibling(path);
    // Whoever reads of a failure knows the file, and not the one beside it.
    let named = |error| match error {
        Error::Io { operation, source, .. } => Error::io(operation, path, source),
        other => other,
    };
    let outcome = write_synced(&temporary, bytes)
        .map_err(named)
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|e| Error::io("replace", path, e)));
    if outcome.is_err() {
        // The write has failed already; what removing the part says adds nothing to it.
        let _ = std::fs::remove_file(&temporary);
    }
    outcome?;
    sync_parent(path)
}

/// Reads a whole file.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::io("read", path, e))
}

/// Reads a whole file, or says `None` where there is none.
///
/// # Errors
/// [`Error::Io`] with the path, for every failure but a missing file.
pub fn read_optional(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io("read", path, e)),
    }
}

/// Creates or truncates `path`, writes `bytes` and syncs them to the disk.
pub(super) fn write_synced(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).map_err(|e| Error::io("create", path, e))?;
    file.write_all(bytes).map_err(|e| Error::io("write", path, e))?;
    file.sync_all().map_err(|e| Error::io("sync", path, e))
}

/// `.NAME.tmp` beside `path`: the same file system, so that the rename is atomic.
pub(super) fn temporary_sibling(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    path.with_file_name(name)
}

/// Syncs the directory which holds `path`, without which a rename may be lost with the power.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    sync_directory(parent)
}

/// Syncs a directory's entries. Only Unix can open a directory for this.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(path)
            .and_then(|directory| directory.sync_all())
            .map_err(|e| Error::io("sync directory", path, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("product.bin");
        write_atomic(&path, b"a long first content").unwrap();
        write_atomic(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_names_the_path_and_keeps_the_old_content() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        std::fs::write(path.join("inside"), b"old").unwrap();
        let message = write_atomic(&path, b"new").unwrap_err().to_string();
        assert!(message.contains("taken"), "{message}");
        assert_eq!(read(&path.join("inside")).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_file_is_an_answer_and_a_directory_is_not() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_optional(&directory.path().join("none")).unwrap().is_none());
        assert!(read_optional(directory.path()).is_err());
    }
}
