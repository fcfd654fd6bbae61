//! How values on the command line are read, and which of them a shell may offer.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::{Arg, Command};
use ddpo::config::{
    AdapterFormat, Algorithm, Dtype, PRESETS, PromptKind, PromptSyntax, SchedulerKind, SearchKind, SpacingKind,
    default_of,
};
use ddpo::device::Backend;
use ddpo::model::ModelSource;
use ddpo::rewards::USAGES;

/// A number of things, none of which would be pointless.
pub fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("at least 1 is wanted".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("a whole number of at least 1 is wanted".to_owned()),
    }
}

/// A whole number of at least 2.
pub fn at_least_two(text: &str) -> Result<usize, String> {
    match at_least_one(text) {
        Ok(1) => Err("at least 2 are wanted".to_owned()),
        other => other,
    }
}

/// The choice of a name on the command line.
pub fn chosen<T>(what: &'static str, name: &str, known: &[&str], choice: fn(&str) -> Option<T>) -> anyhow::Result<T> {
    let known = || known.iter().map(|name| (*name).to_owned()).collect();
    let unknown = || ddpo::Error::UnknownName { what, found: name.to_owned(), nearest: None, known: known() };
    Ok(choice(name).ok_or_else(unknown)?)
}

/// Any text, of which some are known: a shell offers these. What is none of them is for the library to judge, which knows
/// files, hub ids and programs besides, and names what is near.
#[derive(Clone)]
pub struct Known {
    names: Vec<(&'static str, Option<&'static str>)>,
}

impl Known {
    fn of(names: impl IntoIterator<Item = &'static str>) -> Self {
        Self { names: names.into_iter().map(|name| (name, None)).collect() }
    }

    /// `what` and the names there are, for a help text.
    pub fn list(&self, what: &str) -> String {
        let names: Vec<&str> = self.names.iter().map(|(name, _)| *name).collect();
        format!("{what}: {}", names.join(", "))
    }
}

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let value = |(name, about): &(&'static str, Option<&'static str>)| match about {
            Some(about) => PossibleValue::new(*name).help(*about),
            None => PossibleValue::new(*name),
        };
        Some(Box::new(self.names.iter().map(value)))
    }
}

/// The names after `--preset`.
pub fn presets() -> Known {
    Known { names: PRESETS.iter().map(|preset| (preset.name, Some(preset.about))).collect() }
}

/// The names after `--model`.
pub fn models() -> Known {
    Known::of([ModelSource::EMBEDDED])
}

/// The names after `--algorithm`.
pub fn algorithms() -> Known {
    Known::of(Algorithm::NAMES.iter().copied())
}

/// The names after `--reward`.
pub fn rewards() -> Known {
    Known::of(USAGES)
}

/// The kinds of prompts that need nothing besides their name.
pub fn prompts() -> Known {
    let needs_more = [PromptKind::FromFile.name(), PromptKind::List.name()];
    Known::of(PromptKind::NAMES.iter().copied().filter(|name| !needs_more.contains(name)))
}

/// The names after `--scheduler`.
pub fn schedulers() -> Known {
    Known::of(SchedulerKind::NAMES.iter().copied())
}

/// The names after `--search`.
pub fn searches() -> Known {
    Known::of(SearchKind::NAMES.iter().copied())
}

/// The names after `--spacing`.
pub fn spacings() -> Known {
    Known::of(SpacingKind::NAMES.iter().copied())
}

/// The names after `--prompt-syntax`.
pub fn prompt_syntaxes() -> Known {
    Known::of(PromptSyntax::NAMES.iter().copied())
}

/// The names after `--lora-format`.
pub fn lora_formats() -> Known {
    Known::of(AdapterFormat::NAMES.iter().copied())
}

/// The names after `--device`.
pub fn devices() -> Known {
    let built = Backend::ALL.into_iter().filter(|backend| backend.is_built()).map(Backend::name);
    Known::of(["auto", "cpu"].into_iter().chain(built))
}

/// The names after `--dtype`.
pub fn dtypes() -> Known {
    Known::of(Dtype::NAMES.iter().copied())
}

/// The help of an option that overrides one of the configuration, with the default of that one.
pub fn or_default(help: &str, key: &str) -> String {
    format!("{help} [default: {}]", default(key))
}

/// The same for commands that take their defaults from a run, where one is given.
pub fn or_run_default(help: &str, key: &str) -> String {
    format!("{help} [default: the run's, else {}]", default(key))
}

fn default(key: &str) -> String {
    default_of(key).unwrap_or_else(|| "none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_things_is_at_least_one() {
        assert_eq!(at_least_one("1"), Ok(1));
        assert_eq!(at_least_one("0"), Err("at least 1 is wanted".to_owned()));
        assert_eq!((at_least_two("2"), at_least_two("1")), (Ok(2), Err("at least 2 are wanted".to_owned())));
        assert_eq!(at_least_one("-1"), Err("a whole number of at least 1 is wanted".to_owned()));
    }

    #[test]
    fn help_names_the_default_of_the_configuration() {
        assert_eq!(or_default("Seed", "run.seed"), "Seed [default: 0]");
        assert_eq!(or_run_default("How", "sample.scheduler"), "How [default: the run's, else ddim]");
        assert_eq!(or_default("Reward", "reward"), "Reward [default: jpeg-compressibility]");
    }
}
