//! Lists the files of the embedded model, so that the program carries them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../assets/emoji");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    if root.join("model_index.json").is_file() {
        collect(&root, "", &mut files)?;
    }
    files.sort();
    let mut source = String::from("&[\n");
    for name in files {
        let path = root.join(&name).canonicalize()?;
        println!("cargo:rerun-if-changed={}", path.display());
        // Writing to a String cannot fail.
        let _ = writeln!(source, "    ({name:?}, include_bytes!({path:?}).as_slice()),");
    }
    source.push(']');
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(out.join("emoji.rs"), source)
}

/// What a diffusers directory needs to load: configurations, vocabularies and weights, no pictures and no prose.
fn collect(directory: &Path, prefix: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if [".json", ".txt", ".safetensors"].iter().any(|ending| name.ends_with(ending)) {
            files.push(name);
        }
    }
    Ok(())
}
