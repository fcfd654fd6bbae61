//! Project tasks, run as `cargo xtask TASK`. Nothing here ships with the product.

mod ci;
mod emoji;
mod reference;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask TASK

tasks:
  ci [--no-tests]                run every check, cheapest first, then the README's test command
  tidy                           check the repository's own rules
  reference                      write docs/reference/{cli,config}.md and the snapshots of help and errors again
  emoji-dataset DIR [--size N]   write the image-with-caption folder that `ddpo pretrain` reads (default size 64)
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
        "tidy" => tidy::run(&root()?),
        "reference" => reference::run(&root()?),
        "emoji-dataset" => emoji::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => bail!("unknown task `{other}`\n\n{USAGE}"),
    }
}

/// The repository's root: xtask lies directly beneath it.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(Into::into).context("find the repository's root")
}
