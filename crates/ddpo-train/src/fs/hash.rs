//! Checksums of files too large to be read whole.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{Error, Result};

/// Files up to this size are read whole.
const WHOLE: u64 = 64 << 20;

/// What is read of either end of a larger file.
const END: u64 = 1 << 20;

/// Adds the file at `path` to `hash`: its size and its bytes, of a file above 64 MiB the first and the last MiB alone, so that this
/// takes no longer than loading it.
///
/// # Errors
/// [`Error::Io`] with the path.
pub fn hash_ends(path: &Path, hash: &mut crc32fast::Hasher) -> Result<()> {
    let fail = |source| Error::io("read", path, source);
    let mut file = File::open(path).map_err(fail)?;
    let length = file.metadata().map_err(fail)?.len();
    hash.update(&length.to_le_bytes());
    let parts = if length <= WHOLE { vec![(0, length)] } else { vec![(0, END), (length - END, END)] };
    for (start, size) in parts {
        let mut bytes = vec![0; size as usize];
        file.seek(SeekFrom::Start(start)).and_then(|_| file.read_exact(&mut bytes)).map_err(fail)?;
        hash.update(&bytes);
    }
    Ok(())
}
