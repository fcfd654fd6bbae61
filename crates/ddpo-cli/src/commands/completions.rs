//! `ddpo completions`.

use clap::CommandFactory;

use crate::args::{Cli, Completions};

/// Prints the completions of a shell.
pub fn run(args: &Completions) {
    clap_complete::generate(args.shell, &mut Cli::command(), "ddpo", &mut std::io::stdout());
}
