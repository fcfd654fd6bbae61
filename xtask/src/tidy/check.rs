//! Applies the rules to the workspace and to every file that git tracks or would track.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{edges, sources};

/// Prints every violation with its place, and fails if there is one.
pub fn run(root: &Path) -> Result<()> {
    let mut violations = edges::violations(&metadata(root)?);
    for path in files(root)? {
        // What is no text is no source: pictures and weights are skipped. So are files deleted but not yet committed.
        if let Ok(text) = std::fs::read_to_string(root.join(&path)) {
            violations.extend(sources::violations(&path, &text));
        }
    }
    for violation in &violations {
        println!("{violation}");
    }
    match violations.len() {
        0 => {
            println!("== tidy passed");
            Ok(())
        }
        count => bail!("tidy found {count} violations"),
    }
}

fn metadata(root: &Path) -> Result<serde_json::Value> {
    let text = output(root, "cargo", &["metadata", "--no-deps", "--format-version", "1"])?;
    serde_json::from_str(&text).context("read cargo's metadata")
}

fn files(root: &Path) -> Result<Vec<String>> {
    let list = output(root, "git", &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    Ok(list.split_terminator('\0').map(String::from).collect())
}

fn output(root: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).current_dir(root).output();
    let output = output.with_context(|| format!("run `{program}`"))?;
    if !output.status.success() {
        bail!("`{program} {}` failed: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("read what `{program}` printed"))
}
