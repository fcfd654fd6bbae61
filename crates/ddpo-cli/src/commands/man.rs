//! `ddpo man`.

use anyhow::{Context, Result};
use clap::CommandFactory;

use crate::args::{Cli, Man};
use crate::progress::line;

/// Writes a manual page for the program and one for each command.
pub fn run(args: &Man) -> Result<()> {
    ddpo::train::fs::create_directory(&args.directory)?;
    let shown = args.directory.display();
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .with_context(|| format!("cannot write the manual pages into {shown}"))?;
    line(&format!("{}", args.directory.join("ddpo.1").display()));
    Ok(())
}
