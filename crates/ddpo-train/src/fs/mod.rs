//! The only module which touches the file system, so that every IO error carries its path.

mod append;
mod atomic;
mod directory;
mod hash;
mod lock;

pub use append::LineFile;
pub use atomic::{read, read_optional, write_atomic};
pub use directory::{create_directory, list_directory, remove_directory, remove_file, write_directory_atomic};
pub use hash::hash_ends;
pub use lock::RunLock;
