//! The texts that Git LFS leaves in the place of large files where it has not fetched them.

use crate::error::{Error, Result};

/// How each of them begins (git-lfs, docs/spec.md).
const START: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A pointer is shorter than this.
const LONGEST: usize = 1024;

/// Refuses a file that is a pointer of Git LFS.
///
/// # Errors
///
/// If `content`, which is that of the file `name`, is one.
pub fn refuse_lfs_pointer(name: &str, content: &[u8]) -> Result<()> {
    if content.len() >= LONGEST || !content.starts_with(START) {
        return Ok(());
    }
    let text = String::from_utf8_lossy(content);
    let size = text.lines().find_map(|line| line.strip_prefix("size ")).unwrap_or("some").to_owned();
    Err(Error::LfsPointer { name: name.to_owned(), size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_named_with_the_size_it_stands_for() {
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00ff\nsize 3438167536\n";
        let error = refuse_lfs_pointer("a.safetensors", pointer).unwrap_err().to_string();
        assert!(
            error.starts_with("`a.safetensors` is a Git LFS pointer, which stands for 3438167536 bytes"),
            "{error}"
        );
        assert!(refuse_lfs_pointer("a", b"{\"version\": 1}").is_ok());
        assert!(refuse_lfs_pointer("a", &[pointer.as_slice(), &[0; LONGEST]].concat()).is_ok());
    }
}
