//! Writing files so that a reader never sees half of one.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use serde_json::Value;

use crate::error::{Error, Result};

/// Writes to a temporary name in the same folder, syncs, and renames. Folders are made.
///
/// # Errors
///
/// If the file or its folder cannot be written; nothing half written stays behind.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<()> {
    let failed = |source| Error::Io { action: "write", path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_synced(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    written.map_err(|source| {
        // Nothing half written stays behind; that this too can fail changes nothing about the first error.
        let _ = fs::remove_file(&temporary);
        failed(source)
    })
}

/// Writes a configuration, indented as diffusers does, whole or not at all.
///
/// # Errors
///
/// Those of [`write_atomically`].
pub fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Error::Json { name: path.display().to_string(), reason: error.to_string() })?;
    write_atomically(path, format!("{text}\n").as_bytes())
}

fn write_synced(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()
}
