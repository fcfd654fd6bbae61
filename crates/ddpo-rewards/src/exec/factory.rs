//! The kind `exec`: its options, and the program as a reward.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ddpo_core::{Judge, Reward};
use toml::Table;

use super::command::{self, CommandLine};
use super::reward::Exec;
use crate::options::{reward_options, within};
use crate::probe::probe;
use crate::{Error, OptionSpec, Result, RewardContext, RewardFactory, Shorthand, read_options};

reward_options! {
    /// Which program is asked, and how long it may take.
    ExecOptions {
        /// The program: a path, or a name that is looked for in PATH.
        program: Option<String> = None, example = "\"./score.py\"";
        /// Its arguments, a word each.
        args: Vec<String> = Vec::new();
        /// Seconds that an answer may take, the loading of a model before the first one included.
        timeout: u64 = 600, free = true;
        /// Whether a request also holds what the file of prompts says of each prompt, the other fields of its line.
        metadata: bool = false;
        /// Its working directory, which relative paths start from; by default that of ddpo.
        directory: Option<PathBuf> = None, example = "\".\"", free = true;
    }
}

/// Makes [`Exec`].
pub struct ExecFactory;

impl ExecFactory {
    /// The name of the kind.
    pub const KIND: &'static str = command::KIND;

    fn read(options: &Table) -> Result<Exec> {
        let options: ExecOptions = read_options(Self::KIND, options)?;
        let missing = || Error::Options { kind: Self::KIND.to_owned(), reason: command::MISSING.to_owned() };
        let program = options.program.filter(|program| !program.is_empty()).ok_or_else(missing)?;
        within(Self::KIND, "timeout", options.timeout, 1..=1 << 24)?;
        let command = CommandLine { program, arguments: options.args, directory: options.directory };
        let reward = Exec::new(command).with_timeout(Duration::from_secs(options.timeout));
        Ok(if options.metadata { reward.with_metadata() } else { reward })
    }
}

impl RewardFactory for ExecFactory {
    fn kind(&self) -> &str {
        Self::KIND
    }

    fn about(&self) -> &str {
        "a program of your own, asked over its standard input and output"
    }

    fn options(&self) -> &[OptionSpec] {
        ExecOptions::SPECS
    }

    fn shorthand(&self) -> Option<Shorthand> {
        Some(Shorthand { placeholder: "PROGRAM", parse: table })
    }

    fn check(&self, options: &Table) -> Result<String> {
        Self::read(options).map(|reward| reward.name().to_owned())
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        Self::read(options)?.check_program()
    }

    /// Starts the program and asks it about one grey image, so that a run does not find out after hours of sampling.
    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let reward = Self::read(options)?;
        probe(context, |batch| reward.ask(batch))?;
        Ok(Judge::Image(Box::new(reward)))
    }

    fn anchor(&self, options: &mut Table, directory: &Path) {
        options.entry("directory").or_insert_with(|| directory.to_string_lossy().into_owned().into());
    }
}

/// The options that a line of shell words stands for.
fn table(text: &str) -> Result<Table> {
    let command = CommandLine::parse(text)?;
    let mut options = Table::from_iter([("program".to_owned(), command.program.into())]);
    if !command.arguments.is_empty() {
        options.insert("args".to_owned(), command.arguments.into());
    }
    Ok(options)
}
