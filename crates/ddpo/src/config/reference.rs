//! The configuration as a reference page, from the same table the types are made of.

use std::fmt::Write as _;

use ddpo_rewards::{HandlingOptions, OptionSpec, RewardRegistry};
use toml::{Table, Value};

use crate::error::Result;

use super::kind::ModelKind;
use super::options::{Kind, Section};
use super::presets::PRESETS;
use super::rewards::RewardList;
use super::run::RunConfig;

const HEADER: &str = "\
# Configuration

<!-- Written by `cargo xtask reference`; edit the tables in crates/ddpo/src/config instead. -->

Every option of a run's TOML file. All may be left out. On the command line, `--set section.key=value` sets any of them;
`ddpo config > my.toml` writes a file with all of them, and `ddpo train my.toml` reads it. What the command line says goes over the
file, the file over the preset, the preset over the defaults below, which go with the model: the embedded one, `emoji`, has settings
that are tuned for it. An unknown key is an error.
";

/// The default of `section.key` as it is shown to people, with that for the embedded model where it has its own, texts without
/// quotes; `None` for no option and for one without a default.
pub fn default_of(key: &str) -> Option<String> {
    if key == "reward" {
        return RewardList::default().0.pop().map(|entry| entry.kind);
    }
    let of = |kind: ModelKind| text_of(&kind.table().ok()?, key);
    Some(by_model(of(ModelKind::Embedded)?, of(ModelKind::StableDiffusion)?))
}

/// The value of `section.key`, texts without quotes.
fn text_of(table: &Table, key: &str) -> Option<String> {
    let (section, key) = key.split_once('.')?;
    match table.get(section)?.get(key)? {
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

fn by_model(embedded: String, other: String) -> String {
    if embedded == other { other } else { format!("{embedded} for `emoji`, {other} for other models") }
}

/// Every option with its values, its default and where that is from, as a page in Markdown.
///
/// # Errors
///
/// Fails when a default does not fit TOML.
pub fn reference() -> Result<String> {
    let defaults = [ModelKind::StableDiffusion.table()?, ModelKind::Embedded.table()?];
    let mut out = HEADER.to_owned();
    push_presets(&mut out);
    push_reward(&mut out);
    for section in &RunConfig::SECTIONS {
        push_section(&mut out, &format!("[{}]", section.name), section, &defaults);
    }
    push_section(&mut out, "[[task]]", &RunConfig::TASK, &defaults);
    Ok(out)
}

fn push_presets(out: &mut String) {
    push_line(out, "\n## Presets\n\nNamed configurations for `--preset`:\n\n| preset | what it is for |\n|---|---|");
    for preset in PRESETS {
        push_line(out, &format!("| `{}` | {} |", preset.name, cell(preset.about)));
    }
}

fn push_reward(out: &mut String) {
    push_line(
        out,
        "\n## `reward`\n\nWhat images are scored with: a line such as `\"jpeg-compressibility\"` (the default) or `\"exec:./score.py\"`, a \
         table `[reward]` with a `kind` and its options, or several tables `[[reward]]`, whose sum it is, each times its \
         `weight`. `clip = [LOW, HIGH]` moves values outside of a range to its ends; `normalise = \"prompt\"` (or `\"epoch\"`) lets training see \
         standard deviations from the mean of the prompt's samples (or of all), so that terms of different scales can be added. `--set reward.KEY=VALUE` sets an option of a single reward. [How to write one](../guide/own-reward.md).\n\n\
         | kind | option | what it is | default |\n|---|---|---|---|",
    );
    for factory in RewardRegistry::default().factories() {
        push_line(out, &format!("| `{}` | | {} | |", factory.kind(), cell(factory.about())));
        factory.options().iter().for_each(|option| push_reward_option(out, option));
    }
    push_line(out, "| every kind | | how it is asked; `clip` and `normalise` go with `weight` | |");
    HandlingOptions::SPECS.iter().for_each(|option| push_reward_option(out, option));
}

fn push_reward_option(out: &mut String, option: &OptionSpec) {
    let default = shown((option.default)().as_ref());
    push_line(out, &format!("| | `{}` | {} | {default} |", option.key(), cell(&joined(option.about))));
}

/// `defaults` are those for models in general and those for the embedded one.
fn push_section(out: &mut String, heading: &str, section: &Section, defaults: &[Table; 2]) {
    push_line(out, &format!("\n## `{heading}`\n\n{}\n", joined(section.about)));
    push_line(out, "| option | what it is | values | default | from | with `emoji` |\n|---|---|---|---|---|---|");
    for entry in section.entries {
        let default =
            |table: usize| shown(defaults[table].get(section.name).and_then(|values| values.get(entry.key())));
        let embedded = if entry.tuned { default(1) } else { String::new() };
        let cells = [joined(entry.comment), values(entry.kind), default(0), entry.source.to_owned(), embedded];
        let cells: String = cells.iter().map(|text| format!(" {} |", cell(text))).collect();
        push_line(out, &format!("| `{}.{}` |{cells}", section.name, entry.key()));
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("`{value}`"))
}

fn values(kind: Kind) -> String {
    match kind {
        Kind::Any(text) => text.to_owned(),
        Kind::OneOf(names) => names.iter().map(|name| format!("`\"{name}\"`")).collect::<Vec<_>>().join(", "),
    }
}

/// The lines of a comment, each of which begins with a space.
fn joined(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn push_line(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_row_of_six_cells() {
        let page = reference().unwrap();
        for section in RunConfig::SECTIONS.iter().chain([&RunConfig::TASK]) {
            for entry in section.entries {
                let start = format!("| `{}.{}` |", section.name, entry.key());
                let row = page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no {start}"));
                assert_eq!(row.replace("\\|", "").matches('|').count(), 7, "{row}");
            }
        }
    }

    #[test]
    fn defaults_are_found_by_key() {
        assert_eq!(default_of("run.seed").as_deref(), Some("0"));
        assert_eq!(default_of("sample.scheduler").as_deref(), Some("ddim"));
        assert_eq!(default_of("sample.steps").as_deref(), Some("10 for `emoji`, 50 for other models"));
        assert_eq!(default_of("sample.height"), None);
        assert_eq!(default_of("sample.no-such"), None);
        assert_eq!(default_of("run.epochs").as_deref(), Some("20 for `emoji`, 100 for other models"));
    }

    #[test]
    fn choices_name_their_values() {
        let page = reference().unwrap();
        let names: Vec<String> = crate::config::Algorithm::NAMES.iter().map(|name| format!("`\"{name}\"`")).collect();
        assert!(names.len() > 2);
        let cells = format!("| {} | `\"ddpo-is\"` | paper |", names.join(", "));
        assert!(page.contains(&cells), "no `{cells}` in\n{page}");
    }
}
