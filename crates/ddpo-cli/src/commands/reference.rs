//! `ddpo reference`: the pages of docs/reference that are made from the program itself.

use anyhow::Result;
use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};

use crate::args::{Cli, Page, Reference};

const HEADER: &str = "\
# Command line

<!-- Written by `cargo xtask reference`; edit crates/ddpo-cli/src/args.rs instead. -->
";

/// Prints one page.
pub fn run(args: &Reference) -> Result<()> {
    let page = match args.page {
        Page::Cli => command_line(),
        Page::Config => ddpo::config::reference()?,
    };
    print!("{page}");
    Ok(())
}

/// The whole command line as a page in Markdown.
fn command_line() -> String {
    let mut program = Cli::command();
    program.build();
    let about = program.get_about().map(StyledStr::to_string).unwrap_or_default();
    let commands: Vec<&Command> = program.get_subcommands().filter(|command| is_documented(command)).collect();
    let rows: String =
        commands.iter().map(|command| format!("| {} | {} |\n", link(command), about_of(command))).collect();
    let sections: String = commands.iter().map(|command| section(command)).collect();
    format!("{HEADER}\n{about}\n\n| command | what it does |\n|---|---|\n{rows}{sections}")
}

fn is_documented(command: &Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn link(command: &Command) -> String {
    let name = command.get_name();
    format!("[`ddpo {name}`](#ddpo-{name})")
}

fn about_of(command: &Command) -> String {
    command.get_about().map(StyledStr::to_string).unwrap_or_default()
}

fn section(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    let rows: String = command.get_arguments().filter(|arg| !arg.is_hide_set()).map(row).collect();
    let after = command.get_after_help().map(|text| format!("\n{text}\n")).unwrap_or_default();
    format!(
        "\n## ddpo {}\n\n{}.\n\n```\n{usage}\n```\n\n| argument | what it is |\n|---|---|\n{rows}{after}",
        command.get_name(),
        about_of(command)
    )
}

fn row(arg: &Arg) -> String {
    let help = arg.get_help().map(StyledStr::to_string).unwrap_or_default();
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = match defaults.as_slice() {
        [value] if arg.get_action().takes_values() && !value.is_empty() => format!(" [default: {value}]"),
        _ => String::new(),
    };
    let possible = arg.get_possible_values();
    let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
    let shown = !names.is_empty() && !arg.is_hide_possible_values_set() && arg.get_action().takes_values();
    let choices = if shown { format!(" ({})", names.join(", ")) } else { String::new() };
    format!("| `{}` | {} |\n", cell(&spelled(arg)), cell(&format!("{help}{choices}{default}")))
}

/// `--steps N`, `IMAGE...`, `-h, --help`.
fn spelled(arg: &Arg) -> String {
    let flags =
        arg.get_short().map(|c| format!("-{c}")).into_iter().chain(arg.get_long().map(|name| format!("--{name}")));
    let flags = flags.collect::<Vec<_>>().join(", ");
    if !arg.get_action().takes_values() {
        return flags;
    }
    let names: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(|name| name.as_str()).collect();
    format!("{flags} {}", names.join(" ")).trim().to_owned()
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
