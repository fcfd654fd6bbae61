//! Directories: created, listed, and written as a whole.

use std::path::Path;

use super::atomic::{sync_directory, sync_parent, temporary_sibling, write_synced};
use crate::error::{Error, Result};

/// Creates `path` and its parents; an existing directory is fine.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn create_directory(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|e| Error::io("create directory", path, e))
}

/// The names in `path`, sorted; empty where the directory does not exist.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn list_directory(path: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io("list", path, e)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| Error::io("list", path, e))?;
        // A name which is not Unicode is none of ours.
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Removes the file `path`.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn remove_file(path: &Path) -> Result<()> {
    std::fs::remove_file(path).map_err(|e| Error::io("remove", path, e))
}

/// Removes `path` and everything in it; a missing directory is fine.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn remove_directory(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", path, e)),
        _ => Ok(()),
    }
}

/// Writes a directory of `(name, bytes)` files so that it appears whole or not at all.
///
/// The files are written and synced under `.NAME.tmp`, which is then renamed. A directory already at `path` is moved
/// aside to `.NAME.old` just before and removed after; no file system call exchanges two directories portably, so a
/// kill between these two renames leaves the old content under that name only.
///
/// # Errors
/// [`Error::Io`] with the path; nothing partial is left at `path`.
pub fn write_directory_atomic(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let temporary = temporary_sibling(path);
    remove_directory(&temporary)?;
    let outcome = fill_and_rename(&temporary, path, files);
    if outcome.is_err() {
        // The write has failed already; what removing the part says adds nothing to it.
        let _ = std::fs::remove_dir_all(&temporary);
    }
    outcome
}

fn fill_and_rename(temporary: &Path, path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    create_directory(temporary)?;
    for (name, bytes) in files {
        write_synced(&temporary.join(name), bytes)?;
    }
    sync_directory(temporary)?;
    let aside = temporary.with_extension("old");
    remove_directory(&aside)?;
    if path.exists() {
        std::fs::rename(path, &aside).map_err(|e| Error::io("move aside", path, e))?;
    }
    if let Err(e) = std::fs::rename(temporary, path) {
        // What was there is better than nothing; where it cannot be put back it is still under its other name.
        let _ = std::fs::rename(&aside, path);
        return Err(Error::io("replace", path, e));
    }
    sync_parent(path)?;
    remove_directory(&aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("epoch_0001");
        write_directory_atomic(&path, &[("a", b"1"), ("b", b"2")]).unwrap();
        write_directory_atomic(&path, &[("a", b"3")]).unwrap();
        assert_eq!(list_directory(&path).unwrap(), ["a"]);
        assert_eq!(list_directory(root.path()).unwrap(), ["epoch_0001"]);
    }

    #[test]
    fn a_part_left_by_a_kill_is_not_in_the_way() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("epoch_0001");
        create_directory(&temporary_sibling(&path)).unwrap();
        std::fs::write(temporary_sibling(&path).join("stale"), b"x").unwrap();
        write_directory_atomic(&path, &[("a", b"1")]).unwrap();
        assert_eq!(list_directory(&path).unwrap(), ["a"]);
    }

    #[test]
    fn a_directory_which_is_not_there_lists_as_empty() {
        assert!(list_directory(Path::new("/no/such/directory")).unwrap().is_empty());
    }
}
