//! `ddpo completions`.

use clap::CommandFactory;

use crate::args::{Cli, Completions};
use crate::progress::line;

/// Prints the completions of a shell.
pub fn run(args: &Completions) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ddpo", &mut script);
    line(String::from_utf8_lossy(&script).trim_end());
}
