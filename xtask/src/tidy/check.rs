//! Applies the rules to the workspace and to every file that git tracks or would track.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{circles, edges, sources};

/// Prints every violation with its place, and fails if there is one.
pub fn run(root: &Path) -> Result<()> {
    let files = texts(root)?;
    let architecture = files.iter().find(|(path, _)| path == "ARCHITECTURE.md").map_or("", |(_, text)| text);
    let mut violations = edges::violations(&metadata(root)?);
    violations.extend(files.iter().flat_map(|(path, text)| sources::violations(path, text)));
    violations.extend(circles::violations(&files, architecture));
    report(&violations)
}

fn report(violations: &[String]) -> Result<()> {
    for violation in violations {
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

/// Every file that is text, with its path. What is none is no source: pictures and weights. Nor are files deleted but not yet
/// committed.
fn texts(root: &Path) -> Result<Vec<(String, String)>> {
    let read = |path: String| std::fs::read_to_string(root.join(&path)).ok().map(|text| (path, text));
    Ok(files(root)?.into_iter().filter_map(read).collect())
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
