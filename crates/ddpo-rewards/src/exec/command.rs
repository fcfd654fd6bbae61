//! A program with its arguments, and where it runs.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result, files};

/// The name of the kind of reward.
pub(super) const KIND: &str = "exec";

/// What is wrong without a program.
pub(super) const MISSING: &str = "`program` is missing, expected a program, as in exec:./score.py";

/// A program with its arguments, and where it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The program: a path, or a name that is looked for in PATH.
    pub program: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its working directory, which relative paths start from; `None`: this process's own.
    pub directory: Option<PathBuf>,
}

impl CommandLine {
    /// Words as a shell takes them, quotes and backslashes included; nothing is expanded.
    ///
    /// # Errors
    /// [`Error::Options`] without a word, or with a quote that does not end.
    pub fn parse(text: &str) -> Result<Self> {
        let invalid = |reason: String| Error::Options { kind: KIND.to_owned(), reason };
        let words = shlex::split(text).ok_or_else(|| invalid(format!("a quote in `{text}` does not end")))?;
        let mut words = words.into_iter();
        let program = words.next().filter(|word| !word.is_empty());
        let program = program.ok_or_else(|| invalid(MISSING.to_owned()))?;
        Ok(Self { program, arguments: words.collect(), directory: None })
    }

    /// What the reward is called: as it is written in a line.
    pub(super) fn reward_name(&self) -> String {
        format!("{KIND}:{self}")
    }

    /// The process to start, not yet started.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.path());
        // Whoever forgets to flush in Python would be waited for in vain; other languages pass over it.
        command.args(&self.arguments).env("PYTHONUNBUFFERED", "1");
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// The program as it is started: whether a relative path starts from the old directory or the new one is left open by
    /// the operating systems.
    fn path(&self) -> PathBuf {
        match &self.directory {
            Some(directory) if self.is_path() => directory.join(&self.program),
            _ => PathBuf::from(&self.program),
        }
    }

    /// Whether the program is there; it is not started.
    ///
    /// # Errors
    /// As if it had been started, if it is not there.
    pub(super) fn check_program(&self) -> Result<()> {
        let places: Vec<PathBuf> = match (self.is_path(), std::env::var_os("PATH")) {
            (true, _) => vec![self.path()],
            (false, Some(path)) if cfg!(unix) => {
                std::env::split_paths(&path).map(|folder| folder.join(&self.program)).collect()
            }
            // Which endings of a name other systems try is theirs to know.
            (false, _) => return Ok(()),
        };
        match places.last().map(|place| place.metadata()) {
            Some(Err(source)) if !places.iter().any(|place| place.exists()) => Err(self.failed(source)),
            _ => Ok(()),
        }
    }

    fn is_path(&self) -> bool {
        self.program.contains(std::path::MAIN_SEPARATOR) || self.program.contains('/')
    }

    /// Why it did not start.
    pub(super) fn failed(&self, source: std::io::Error) -> Error {
        let directory = self.directory.as_deref().unwrap_or(Path::new("."));
        if source.kind() == ErrorKind::NotFound && !self.is_path() && files::is_file(directory, &self.program) {
            return Error::NotInPath { program: self.program.clone() };
        }
        Error::Start { program: self.to_string(), source }
    }
}

/// As a shell would take it.
impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = || std::iter::once(&self.program).chain(&self.arguments).map(String::as_str);
        // Only a zero byte cannot be quoted, and no process can be given one.
        f.write_str(&shlex::try_join(words()).unwrap_or_else(|_| words().collect::<Vec<_>>().join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, words: &[&str]) {
        let command = CommandLine::parse(text).unwrap();
        let found: Vec<&str> =
            std::iter::once(&command.program).chain(&command.arguments).map(String::as_str).collect();
        assert_eq!(found, words);
        assert_eq!(CommandLine::parse(&command.to_string()).unwrap(), command);
    }

    #[test]
    fn words_are_a_shells() {
        check(" ./score.py --fast ", &["./score.py", "--fast"]);
        check("'my rewards/bright.py' \"a b\" c\\ d", &["my rewards/bright.py", "a b", "c d"]);
    }

    #[test]
    fn no_program_and_open_quotes_are_refused() {
        for text in ["", "  ", "''"] {
            let message = CommandLine::parse(text).unwrap_err().to_string();
            assert!(message.starts_with("invalid reward `exec`: `program` is missing"), "{message}");
        }
        let message = CommandLine::parse("./a 'b").unwrap_err().to_string();
        assert_eq!(message, "invalid reward `exec`: a quote in `./a 'b` does not end");
    }
}
