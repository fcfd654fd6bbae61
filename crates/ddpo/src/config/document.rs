//! Prints a configuration with its comments, from the same table the types are made of.

use std::fmt::Write as _;

use ddpo_rewards::{HandlingOptions, OptionSpec, RewardFactory, RewardRegistry};
use toml::{Table, Value};

use super::kind::ModelKind;
use super::options::{Entry, Section};
use super::run::RunConfig;

const HEADER: &str = "\
# The configuration of a ddpo run. Every value below may be left out; what is in brackets after a
# comment says where the default is from. Defaults depend on the model: the embedded one, `emoji`,
# has settings of its own. On the command line: --set section.key=value.
";

const REWARDS: &str = "
# What images are scored with: a kind in a line, such as \"jpeg-compressibility\" or \"exec:./score.py\", or
# a table with its options; of several tables the weighted sum:
#   [[reward]]
#   kind = \"exec\"
#   weight = 1.0
#   clip = [-1.0, 1.0]       values outside of the range are moved to its ends
#   normalise = \"prompt\"     training sees standard deviations from the mean of a prompt's samples, or of all of an \"epoch\"
#   program = \"./score.py\"
# An option of a single reward on the command line: --set reward.key=value. The kinds and their options:
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
    let is_embedded = ModelKind::of(&config.model.path) == ModelKind::Embedded;
    let others = Table::try_from(RunConfig::defaults(ModelKind::StableDiffusion))?;
    let mut out = format!("{HEADER}{REWARDS}");
    RewardRegistry::default().factories().for_each(|factory| push_reward_kind(&mut out, factory));
    push_line(&mut out, "# Whatever its kind, a reward has these options:");
    HandlingOptions::SPECS.iter().for_each(|option| push_reward_option(&mut out, option));
    let terms = match values.get("reward") {
        Some(Value::Array(terms)) => terms.as_slice(),
        Some(name) => {
            push_line(&mut out, &format!("reward = {name}"));
            &[]
        }
        None => &[],
    };
    for section in &RunConfig::SECTIONS {
        let of = |table: &'_ Table| table.get(section.name).and_then(Value::as_table).cloned().unwrap_or_default();
        push_section(&mut out, section, &of(&values), is_embedded.then(|| of(&others)).as_ref());
    }
    terms.iter().for_each(|term| push_table(&mut out, "reward", term));
    let tasks = values.get("task").and_then(Value::as_array).map_or(&[] as &[Value], Vec::as_slice);
    push_tasks(&mut out, tasks);
    Ok(out)
}

/// What a task may have, and the tasks that there are.
fn push_tasks(out: &mut String, tasks: &[Value]) {
    push_line(out, "");
    RunConfig::TASK.about.iter().for_each(|line| push_line(out, &format!("#{line}")));
    push_line(out, "# [[task]]");
    for entry in RunConfig::TASK.entries {
        let about: String = entry.comment.concat();
        push_line(
            out,
            &format!("# {:50} {}", format!("{} = {}", entry.key(), entry.example.unwrap_or("…")), about.trim()),
        );
    }
    tasks.iter().for_each(|task| push_table(out, "task", task));
}

/// A term of the sum, or a task; a term that is a line becomes a table.
fn push_table(out: &mut String, name: &str, table: &Value) {
    push_line(out, &format!("\n[[{name}]]"));
    match table {
        Value::Table(table) => table.iter().for_each(|(key, value)| push_line(out, &format!("{key} = {value}"))),
        line => push_line(out, &format!("kind = {line}")),
    }
}

/// A kind of reward, and below it each of its options with what it does.
fn push_reward_kind(out: &mut String, factory: &dyn RewardFactory) {
    push_line(out, &format!("#   {:26}{}", format!("\"{}\"", factory.kind()), factory.about()));
    factory.options().iter().for_each(|option| push_reward_option(out, option));
}

fn push_reward_option(out: &mut String, option: &OptionSpec) {
    let value = (option.default)().map_or_else(|| option.example.unwrap_or("…").to_owned(), |value| value.to_string());
    push_line(out, &format!("#     {:23} {}", format!("{} = {value}", option.key()), option.about.concat().trim()));
}

/// `others` are the defaults of models that are not embedded, where the configuration is of the one that is.
fn push_section(out: &mut String, section: &Section, values: &Table, others: Option<&Table>) {
    push_line(out, "");
    section.about.iter().for_each(|line| push_line(out, &format!("#{line}")));
    push_line(out, &format!("[{}]", section.name));
    for entry in section.entries {
        let other = others.filter(|_| entry.tuned).and_then(|others| others.get(&entry.key()));
        push_entry(out, entry, values.get(&entry.key()), other);
    }
}

fn push_entry(out: &mut String, entry: &Entry, value: Option<&Value>, other: Option<&Value>) {
    let (last, first) = entry.comment.split_last().unwrap_or((&"", &[]));
    first.iter().for_each(|line| push_line(out, &format!("#{line}")));
    let source = match other {
        Some(other) => format!("tuned for `emoji`; other models: {other}, {}", entry.source),
        None => entry.source.to_owned(),
    };
    push_line(out, &format!("#{last} ({source})"));
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
    use super::super::choices::EvalPrompts;
    use super::super::rewards::{RewardEntry, RewardList};
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
        let options = "args = [\"-x\", \"a \\\"b\\\"\"]\ntimeout = 3\nprogram = \"a\"".parse().unwrap();
        let program = RewardEntry { weight: -1.0, options, ..RewardEntry::named("exec") };
        let mut config = RunConfig {
            reward: RewardList(vec![
                RewardEntry { weight: 0.5, ..RewardEntry::named("jpeg-compressibility") },
                RewardEntry::named("exec:./a.py 'b c'"),
                program.clone(),
            ]),
            ..RunConfig::default()
        };
        config.eval.held_out = RewardList(vec![RewardEntry::named("jpeg-incompressibility"), program]);
        config.eval.prompts = EvalPrompts::List(vec!["a \"cat\"".into(), "a\nb".into()]);
        config.sample.height = Some(512);
        config.model.revision = Some("main".into());
        check_round_trip(&config);
    }

    #[test]
    fn one_reward_with_options_reads_back() {
        let entry = RewardEntry { options: "timeout = 3".parse().unwrap(), ..RewardEntry::named("exec:a") };
        check_round_trip(&RunConfig { reward: RewardList(vec![entry]), ..RunConfig::default() });
    }

    #[test]
    fn every_option_of_every_reward_is_explained() {
        let text = document(&RunConfig::default()).unwrap();
        for factory in RewardRegistry::default().factories() {
            assert!(text.contains(&format!("#   \"{}\"", factory.kind())), "{text}");
            for option in factory.options() {
                assert!(text.contains(&format!("#     {} = ", option.key())), "{text}");
            }
        }
    }

    #[test]
    fn every_option_is_explained() {
        for section in RunConfig::SECTIONS.iter().chain([&RunConfig::TASK]) {
            for entry in section.entries {
                assert!(!entry.comment.is_empty() && !entry.source.is_empty(), "{}.{}", section.name, entry.field);
            }
        }
    }

    #[test]
    fn a_default_says_which_models_it_is_for() {
        let text = |kind: ModelKind, path: &str| {
            let mut config = RunConfig::defaults(kind);
            config.model.path = path.into();
            document(&config).unwrap()
        };
        let embedded = text(ModelKind::Embedded, "emoji");
        assert!(embedded.contains("# Denoising steps. (tuned for `emoji`; other models: 50, paper)\nsteps = 10\n"));
        let other = text(ModelKind::StableDiffusion, "org/model");
        assert!(other.contains("# Denoising steps. (paper)\nsteps = 50\n"), "{other}");
        assert!(!other.contains("tuned for"), "{other}");
    }

    #[test]
    fn an_absent_option_is_shown_commented_out() {
        let text = document(&RunConfig::default()).unwrap();
        assert!(text.contains("\n# height = 512\n"), "{text}");
        let uncommented = text.replace("\n# height = 512\n", "\nheight = 512\n");
        assert_eq!(toml::from_str::<RunConfig>(&uncommented).unwrap().sample.height, Some(512));
    }
}
