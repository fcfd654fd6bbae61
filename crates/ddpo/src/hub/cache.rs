//! The cache of one repository, in the layout of `huggingface_hub`: `blobs` by checksum, `snapshots` of commits that point
//! into them, `refs` that name commits.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The cache of one repository.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of the model `id` inside of the directory `hub`.
    pub(super) fn new(hub: &Path, id: &str) -> Self {
        Self { root: hub.join(format!("models--{}", id.replace('/', "--"))) }
    }

    /// Where the files of a commit are.
    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Where a content is kept.
    pub(super) fn blob(&self, checksum: &str) -> PathBuf {
        self.root.join("blobs").join(checksum)
    }

    /// The snapshot of a revision, if there is one.
    pub(super) fn find(&self, revision: &str) -> Option<PathBuf> {
        let named = fs::read_to_string(self.reference(revision)?).ok().map(|text| text.trim().to_owned());
        let commit = named.unwrap_or_else(|| revision.to_owned());
        let snapshot = self.snapshot(&commit);
        (is_name(&commit) && snapshot.is_dir()).then_some(snapshot)
    }

    /// Remembers which commit a revision is.
    pub(super) fn point(&self, revision: &str, commit: &str) -> Result<()> {
        match self.reference(revision) {
            Some(path) if revision != commit => {
                create_parent(&path)?;
                Ok(ddpo_train::fs::write_atomic(&path, commit.as_bytes())?)
            }
            _ => Ok(()),
        }
    }

    /// Puts a blob into a snapshot: a relative link where there are links, else a copy.
    pub(super) fn link(&self, blob: &Path, commit: &str, name: &str) -> Result<()> {
        let path = self.snapshot(commit).join(name);
        create_parent(&path)?;
        let up = "../".repeat(2 + name.matches('/').count());
        let target = format!("{up}blobs/{}", blob.file_name().unwrap_or_default().to_string_lossy());
        // Another process may have been faster, which is as good.
        if path.exists() { Ok(()) } else { make_link(&target, blob, &path).map_err(|source| io("link", &path, source)) }
    }

    /// The file that names the commit of a revision; none for a revision that is no path below `refs`.
    fn reference(&self, revision: &str) -> Option<PathBuf> {
        let parts: Vec<&str> = revision.split('/').collect();
        parts.iter().all(|part| is_name(part)).then(|| self.root.join("refs").join(revision))
    }
}

#[cfg(unix)]
fn make_link(target: &str, _: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn make_link(_: &str, blob: &Path, path: &Path) -> std::io::Result<()> {
    fs::hard_link(blob, path).or_else(|_| fs::copy(blob, path).map(drop))
}

/// Whether a text from outside is the name of one file, and of none that is hidden.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    !text.is_empty() && text.len() <= 200 && !text.starts_with('.') && text.chars().all(allowed)
}

/// Every file of a snapshot, by its path in the repository; folders are one deep in a pipeline.
pub(super) fn list(snapshot: &Path) -> Vec<String> {
    let names = |path: &Path| ddpo_train::fs::list_directory(path).unwrap_or_default();
    let mut files = Vec::new();
    for name in names(snapshot) {
        let path = snapshot.join(&name);
        if path.is_dir() {
            files.extend(names(&path).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            files.push(name);
        }
    }
    files.retain(|name| snapshot.join(name).is_file());
    files
}

pub(super) fn create_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), |parent| fs::create_dir_all(parent).map_err(|source| io("create", parent, source)))
}

/// An error of the file system, with its path.
pub(super) fn io(operation: &'static str, path: &Path, source: std::io::Error) -> Error {
    Error::Train(ddpo_train::Error::Io { operation, path: path.to_owned(), source })
}
