//! `cargo xtask reference`: the pages of docs/reference that the program writes about itself, and the texts that its tests keep.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The pages, by their name after `ddpo reference`.
const PAGES: [&str; 2] = ["cli", "config"];

/// The tests whose snapshots are the program's own words.
const SNAPSHOTS: [&str; 4] = ["test", "--release", "--test", "interface"];

/// Builds the program and writes its pages and snapshots. Tests of `ddpo-cli` fail while they differ.
///
/// No package is named: with fewer of them cargo compiles the dependencies once more, with other features.
pub fn run(root: &Path) -> Result<()> {
    for page in PAGES {
        let command = ["run", "--release", "--quiet", "--bin", "ddpo", "--", "reference", page];
        let output = Command::new("cargo").args(command).current_dir(root).output().context("run `cargo`")?;
        if !output.status.success() {
            bail!("`cargo {}` failed: {}", command.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        let path = root.join("docs/reference").join(page).with_extension("md");
        std::fs::write(&path, output.stdout).with_context(|| format!("write {}", path.display()))?;
        println!("{}", path.display());
    }
    let status = Command::new("cargo").args(SNAPSHOTS).env("INSTA_UPDATE", "always").current_dir(root).status();
    match status.context("run `cargo`")?.success() {
        true => Ok(()),
        false => bail!("`cargo {}` failed", SNAPSHOTS.join(" ")),
    }
}
