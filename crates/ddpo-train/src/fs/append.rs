//! Files of lines which grow, and can be cut back to a known length at resume.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An append-only file whose content is known to its last byte, and of which no byte is lost to a disk that is full for
/// a while.
///
/// Each [`append`](Self::append) writes at the known length and nowhere else, so a part left by a failed write is
/// overwritten by the next one, never glued to it. What came after the last [`sync`](Self::sync) that worked is kept in
/// memory: a write that failed is made up for by the next, and so is everything since that sync if one fails, because
/// an operating system may forget pages which it could not write.
#[derive(Debug)]
pub struct LineFile {
    file: File,
    path: PathBuf,
    /// Bytes which are on the disk.
    synced: u64,
    /// The bytes after these.
    recent: Vec<u8>,
    /// How many of the recent bytes the operating system has taken.
    written: usize,
}

impl LineFile {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).map_err(|e| Error::io("create", path, e))?;
        Ok(Self::at(file, path, 0))
    }

    /// Opens the file and cuts it to the `length` bytes a checkpoint recorded.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; [`Error::FileTooShort`] where bytes which the checkpoint knew are gone.
    pub fn resume(path: &Path, length: u64) -> Result<Self> {
        let mut options = File::options();
        // A length of zero asks for nothing that a missing file could not give.
        options.write(true).create(length == 0).truncate(false);
        let file = options.open(path).map_err(|e| Error::io("open", path, e))?;
        let found = file.metadata().map_err(|e| Error::io("inspect", path, e))?.len();
        if found < length {
            return Err(Error::FileTooShort { path: path.to_path_buf(), found, wanted: length });
        }
        file.set_len(length).map_err(|e| Error::io("truncate", path, e))?;
        Ok(Self::at(file, path, length))
    }

    fn at(file: File, path: &Path, synced: u64) -> Self {
        Self { file, path: path.to_path_buf(), synced, recent: Vec::new(), written: 0 }
    }

    /// Appends `bytes`: a whole line with its newline, or a whole record.
    ///
    /// # Errors
    /// [`Error::Io`] with the path; the next call writes these bytes, too.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.recent.extend(bytes);
        self.write()
    }

    /// Syncs to the disk and returns the length in bytes, which a checkpoint may then record.
    ///
    /// # Errors
    /// [`Error::Io`] with the path.
    pub fn sync(&mut self) -> Result<u64> {
        self.write()?;
        if let Err(e) = self.file.sync_all() {
            self.written = 0;
            return Err(Error::io("sync", &self.path, e));
        }
        self.synced += self.recent.len() as u64;
        self.recent.clear();
        self.written = 0;
        Ok(self.synced)
    }

    fn write(&mut self) -> Result<()> {
        let end = self.synced + self.written as u64;
        let outcome =
            self.file.seek(SeekFrom::Start(end)).and_then(|_| self.file.write_all(&self.recent[self.written..]));
        if let Err(e) = outcome {
            // Best effort: where this fails too, the next write overwrites the part.
            let _ = self.file.set_len(end);
            return Err(Error::io("append to", &self.path, e));
        }
        self.written = self.recent.len();
        Ok(())
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resumed_file_forgets_what_came_after_the_checkpoint() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.jsonl");
        let mut file = LineFile::create(&path).unwrap();
        file.append(b"one\n").unwrap();
        let length = file.sync().unwrap();
        file.append(b"two, half writ").unwrap();
        drop(file);
        let mut file = LineFile::resume(&path, length).unwrap();
        file.append(b"2\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one\n2\n");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_a_full_disk_does_not_take_is_written_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.jsonl");
        let mut file = LineFile::create(&path).unwrap();
        file.append(b"one\n").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let disk = std::mem::replace(&mut file.file, full);
        let message = file.append(b"two\n").unwrap_err().to_string();
        assert!(message.contains("metrics.jsonl"), "{message}");
        assert!(file.sync().is_err());
        file.file = disk;
        file.append(b"three\n").unwrap();
        assert_eq!(file.sync().unwrap(), 14);
        assert_eq!(std::fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
    }

    #[test]
    fn lost_bytes_are_an_error_with_both_lengths() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("metrics.jsonl");
        std::fs::write(&path, b"one\n").unwrap();
        let message = LineFile::resume(&path, 9).unwrap_err().to_string();
        assert!(message.contains('4') && message.contains('9'), "{message}");
        assert!(LineFile::resume(&directory.path().join("none"), 9).is_err());
        LineFile::resume(&directory.path().join("none"), 0).unwrap();
    }
}
