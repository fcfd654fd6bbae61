//! `cargo xtask reference`: the pages of docs/reference that the program writes about itself.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The pages, by their name after `ddpo reference`.
const PAGES: [&str; 2] = ["cli", "config"];

/// Builds the program and writes its pages. A test of `ddpo-cli` fails while they differ.
pub fn run(root: &Path) -> Result<()> {
    for page in PAGES {
        let command = ["run", "--release", "--quiet", "--package", "ddpo-cli", "--", "reference", page];
        let output = Command::new("cargo").args(command).current_dir(root).output().context("run `cargo`")?;
        if !output.status.success() {
            bail!("`cargo {}` failed: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        let path = root.join("docs/reference").join(page).with_extension("md");
        std::fs::write(&path, output.stdout).with_context(|| format!("write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
