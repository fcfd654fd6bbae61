//! Prints a configuration with its comments, from the same table the types are made of.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::options::{Entry, Section};
use super::run::RunConfig;

const HEADER: &str = "\
# The configuration of a ddpo run. Every value below may be left out; the values in brackets after
# a comment say where the default is from. On the command line: --set section.key=value.

# What images are scored with: \"jpeg-compressibility\", \"jpeg-incompressibility\", or a weighted list:
#   [[reward]]
#   kind = \"jpeg-compressibility\"
#   weight = 1.0
";

/// `config` as a TOML file in which every option is explained.
///
/// Reading the result back gives `config` again.
///
/// # Errors
///
/// Fails when a number does not fit a TOML integer.
pub fn document(config: &RunConfig) -> Result<String, toml::ser::Error> {
    let values = Table::try_from(config)?;
    let mut out = HEADER.to_owned();
    let terms = match values.get("reward") {
        Some(Value::Array(terms)) => terms.as_slice(),
        Some(name) => {
            push_line(&mut out, &format!("reward = {name}"));
            &[]
        }
        None => &[],
    };
    for section in &RunConfig::SECTIONS {
        push_section(&mut out, section, values.get(section.name).and_then(Value::as_table));
    }
    for term in terms.iter().filter_map(Value::as_table) {
        push_line(&mut out, "\n[[reward]]");
        term.iter().for_each(|(key, value)| push_line(&mut out, &format!("{key} = {value}")));
    }
    Ok(out)
}

fn push_section(out: &mut String, section: &Section, values: Option<&Table>) {
    push_line(out, "");
    section.about.iter().for_each(|line| push_line(out, &format!("#{line}")));
    push_line(out, &format!("[{}]", section.name));
    for entry in section.entries {
        push_entry(out, entry, values.and_then(|values| values.get(&entry.key())));
    }
}

fn push_entry(out: &mut String, entry: &Entry, value: Option<&Value>) {
    let (last, first) = entry.comment.split_last().unwrap_or((&"", &[]));
    first.iter().for_each(|line| push_line(out, &format!("#{line}")));
    push_line(out, &format!("#{last} ({})", entry.source));
    match (value, entry.example) {
        (Some(value), _) => push_line(out, &format!("{} = {value}", entry.key())),
        (None, example) => push_line(out, &format!("# {} = {}", entry.key(), example.unwrap_or("…"))),
    }
}

fn push_line(out: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::super::choices::{EvalPrompts, RewardOption, WeightedReward};
    use super::*;

    #[track_caller]
    fn check_round_trip(config: &RunConfig) {
        let text = document(config).unwrap();
        assert_eq!(&toml::from_str::<RunConfig>(&text).unwrap(), config, "{text}");
    }

    #[test]
    fn the_default_reads_back() {
        check_round_trip(&RunConfig::default());
    }

    #[test]
    fn lists_and_optional_values_read_back() {
        let mut config = RunConfig {
            reward: RewardOption::Weighted(vec![
                WeightedReward { kind: "jpeg-compressibility".into(), weight: 0.5 },
                WeightedReward { kind: "jpeg-incompressibility".into(), weight: -1.0 },
            ]),
            ..RunConfig::default()
        };
        config.eval.prompts = EvalPrompts::List(vec!["a \"cat\"".into(), "a\nb".into()]);
        config.sample.height = Some(512);
        config.model.revision = Some("main".into());
        check_round_trip(&config);
    }

    #[test]
    fn every_option_is_explained() {
        for section in RunConfig::SECTIONS {
            for entry in section.entries {
                assert!(!entry.comment.is_empty() && !entry.source.is_empty(), "{}.{}", section.name, entry.field);
            }
        }
    }

    #[test]
    fn an_absent_option_is_shown_commented_out() {
        let text = document(&RunConfig::default()).unwrap();
        assert!(text.contains("\n# height = 512\n"), "{text}");
        let uncommented = text.replace("\n# height = 512\n", "\nheight = 512\n");
        assert_eq!(toml::from_str::<RunConfig>(&uncommented).unwrap().sample.height, Some(512));
    }
}
