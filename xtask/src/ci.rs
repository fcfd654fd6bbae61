//! `cargo xtask ci`: every check, cheapest first, stopping at the first that fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::tidy;

/// Runs the checks from the repository's root.
///
/// Clippy and rustdoc use the release profile, as the tests do, so that dependencies are compiled for one profile only.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let with_tests = match args {
        [] => true,
        [flag] if flag == "--no-tests" => false,
        _ => bail!("usage: cargo xtask ci [--no-tests]"),
    };
    step(root, "cargo fmt --all --check", &[])?;
    tidy::run(root)?;
    if installed("typos") {
        step(root, "typos", &[])?;
    }
    step(root, "cargo clippy --release --workspace --all-targets -- -D warnings", &[])?;
    step(root, "cargo doc --release --workspace --no-deps", &[("RUSTDOCFLAGS", "-D warnings")])?;
    if with_tests {
        step(root, &readme_test_command(root)?, &[])?;
    }
    if with_tests {
        processes(root)?;
    }
    // Without advisories, whose database has to be fetched.
    match installed("cargo-deny") {
        true => step(root, "cargo deny check bans licenses sources", &[])?,
        false => println!("== skipped: cargo deny check (cargo install cargo-deny)"),
    }
    Ok(())
}

/// `cargo xtask processes`: the tests of runs of several processes, where there is what they need: nothing of it is in the default
/// build, so that most machines lack it.
pub fn processes(root: &Path) -> Result<()> {
    match installed("mpirun") && installed("mpicc") && libclang_is_there() {
        true => step(root, "cargo test --release --workspace --features ddpo-cli/mpi --test mpi", &[]),
        false => {
            println!(
                "== skipped: the tests of several processes (apt-get install libopenmpi-dev openmpi-bin libclang-dev)"
            );
            Ok(())
        }
    }
}

/// Whether bindgen finds libclang, by which it reads MPI's headers.
fn libclang_is_there() -> bool {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_library =
        |path: PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libclang"));
    let llvm = entries(Path::new("/usr/lib")).map(|folder| folder.join("lib"));
    let usual = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from).into_iter();
    let by_machine = PathBuf::from(format!("/usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    std::env::var_os("LIBCLANG_PATH").is_some()
        || llvm.chain(usual).chain([by_machine]).any(|folder| entries(&folder).any(is_library))
}

fn step(root: &Path, command: &str, environment: &[(&str, &str)]) -> Result<()> {
    println!("== {command}");
    let start = Instant::now();
    let mut words = command.split_whitespace();
    let program = words.next().context("run an empty command")?;
    let status = Command::new(program)
        .args(words)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("run `{command}`"))?;
    if !status.success() {
        bail!("`{command}` failed ({status})");
    }
    println!("== passed in {} s", start.elapsed().as_secs());
    Ok(())
}

fn installed(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn readme_test_command(root: &Path) -> Result<String> {
    let readme = std::fs::read_to_string(root.join("README.md")).context("read README.md")?;
    test_command(&readme).context("README.md names no test command, a line with `cargo test …` wanted")
}

/// The first `cargo test …` of a text, up to a closing backtick or a comment.
fn test_command(readme: &str) -> Option<String> {
    let line = &readme[readme.find("cargo test ")?..];
    let end = line.find(['`', '#', '\n']).unwrap_or(line.len());
    Some(line[..end].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_command_is_read_from_prose_and_from_blocks() {
        assert_eq!(test_command("Run `cargo test --release` now."), Some("cargo test --release".into()));
        assert_eq!(test_command("```\ncargo test --release  # all\n```"), Some("cargo test --release".into()));
        assert_eq!(test_command("no tests"), None);
    }
}
