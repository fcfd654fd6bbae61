//! One process at a time in a run directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Holds a run directory until dropped.
///
/// The operating system releases the lock when the process ends, however it ends; the file `.lock` stays and means
/// nothing by itself. It holds the owner's process id, for the message only.
#[derive(Debug)]
pub struct RunLock {
    /// The lock lives as long as this handle.
    _file: File,
}

impl RunLock {
    /// Takes the lock of `directory`, which must exist.
    ///
    /// # Errors
    /// [`Error::Locked`] where another process (or another handle of this one) holds it, [`Error::Io`] with the path.
    pub fn acquire(directory: &Path) -> Result<Self> {
        let path = directory.join(".lock");
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|e| Error::io("open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(locked(directory, &mut file)),
            Err(TryLockError::Error(e)) => return Err(Error::io("lock", &path, e)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|e| Error::io("write", &path, e))?;
        Ok(Self { _file: file })
    }
}

fn locked(directory: &Path, file: &mut File) -> Error {
    let mut owner = String::new();
    // Where the owner cannot be read the message says so; the lock is what matters.
    let _ = file.take(32).read_to_string(&mut owner);
    Error::Locked { directory: directory.to_path_buf(), owner: owner.trim().parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_owner_is_refused_by_name_until_the_first_lets_go() {
        let directory = tempfile::tempdir().unwrap();
        let first = RunLock::acquire(directory.path()).unwrap();
        let message = RunLock::acquire(directory.path()).unwrap_err().to_string();
        assert!(message.contains(&std::process::id().to_string()), "{message}");
        drop(first);
        RunLock::acquire(directory.path()).unwrap();
    }
}
