//! One file of an adapter, with the settings beside it.

use std::path::Path;

use ddpo_nn::{Error, ModelFiles, Result, TensorFile, map};

use super::Adapter;

/// One file of an adapter.
pub(super) struct Source {
    pub(super) file: TensorFile,
    /// The content of PEFT's settings.
    pub(super) config: Option<Vec<u8>>,
}

/// A file of weights, with the settings beside it if it is PEFT's.
pub(super) fn open(path: &Path) -> Result<Source> {
    let name = path.display().to_string();
    if matches!(path.extension().and_then(|extension| extension.to_str()), Some("bin" | "pt" | "ckpt" | "pth")) {
        return Err(Error::Pickle { name });
    }
    let file = TensorFile::open(&name, vec![map(path)?])?;
    let is_peft = path.file_name().is_some_and(|name| name == Adapter::PEFT_FILE)
        || file.names().iter().any(|name| name.starts_with("base_model."));
    let beside = path.with_file_name(Adapter::PEFT_CONFIG);
    let config = match path.parent().filter(|_| is_peft && beside.is_file()) {
        Some(folder) => {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            Some(ModelFiles::Directory(folder.to_owned()).text(Adapter::PEFT_CONFIG, "an adapter's settings")?)
        }
        None => None,
    };
    Ok(Source { file, config })
}
