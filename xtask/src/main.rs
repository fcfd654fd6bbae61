//! Project tasks, run as `cargo xtask TASK`. Nothing here ships with the product.

mod ci;
#[cfg(feature = "emoji")]
mod emoji;
mod reference;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

tasks:
  ci [--no-tests]                run every check, cheapest first, then the README's test command
  processes                      test runs of several processes, where MPI is installed
  tidy                           check the repository's own rules
  reference                      write docs/reference/{cli,config}.md and the snapshots of help and errors again
  emoji-dataset DIR --icons FOLDER
                                 write the cut-outs that `ddpo pretrain` composes pictures from; FOLDER has the icon sets
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<()> {
    let Some((task, rest)) = args.split_first() else {
        bail!("no task given\n\n{USAGE}");
    };
    match task.as_str() {
        "ci" => ci::run(&root()?, rest),
        "processes" => ci::processes(&root()?),
        "tidy" => tidy::run(&root()?),
        "reference" => reference::run(&root()?),
        #[cfg(feature = "emoji")]
        "emoji-dataset" => emoji::run(rest),
        #[cfg(not(feature = "emoji"))]
        "emoji-dataset" => again_with("emoji", args),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown task `{other}`\n\n{USAGE}"),
    }
}

/// Runs a task with the cargo feature it needs, which other tasks do without.
#[cfg(not(feature = "emoji"))]
fn again_with(feature: &str, args: &[String]) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "--release", "--package", "xtask", "--features", feature, "--"]).args(args);
    let status = command.status().context("start cargo")?;
    if !status.success() {
        bail!("`{}` failed: {status}", args.join(" "));
    }
    Ok(())
}

/// The repository's root, directly above xtask: of the tree that cargo runs it in, which need not be the one it was built in.
fn root() -> Result<PathBuf> {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&here).parent().map(Into::into).context("find the repository's root")
}
