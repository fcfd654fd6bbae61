//! What is wrong with a path that should be a directory, in the words that every command uses.

use std::path::Path;

/// Why `path` is no directory; `None` where it is one.
pub(crate) fn why_no_directory(path: &Path) -> Option<&'static str> {
    if path.is_dir() {
        None
    } else if path.exists() {
        Some("a file was found, a directory was wanted")
    } else {
        Some("there is no such directory")
    }
}
