//! The pictures of the folder that a policy is held to.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::metadata::{self, METADATA};

/// A picture of a folder, and what it shows.
pub(super) struct Picture {
    pub path: PathBuf,
    pub caption: String,
}

/// What `metadata.jsonl` of a folder names.
pub(super) fn pictures(folder: &Path) -> Result<Vec<Picture>> {
    let file = folder.join(METADATA);
    let pictures: Vec<Picture> = metadata::read(&file)?
        .into_iter()
        .map(|row| Picture {
            path: folder.join(&row.file_name),
            caption: row.captions().first().cloned().unwrap_or_default(),
        })
        .collect();
    match pictures.is_empty() {
        true => Err(Error::Data { reason: format!("`{}` names no picture", file.display()) }),
        false => Ok(pictures),
    }
}

/// The pictures of a folder by content, so that it may move.
///
/// # Errors
///
/// Fails when one cannot be read.
pub(super) fn fingerprint(folder: &Path) -> Result<String> {
    let pictures = pictures(folder)?;
    let mut hash = crc32fast::Hasher::new();
    for picture in &pictures {
        hash.update(picture.caption.as_bytes());
        hash.update(&crate::model::checksum(&picture.path)?.to_le_bytes());
    }
    Ok(format!("{} of them, checksum {:08x}", pictures.len(), hash.finalize()))
}
