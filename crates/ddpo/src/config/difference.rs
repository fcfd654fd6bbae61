//! What of a configuration is not the default, and the command that says it.

use toml::{Table, Value};

use super::kind::ModelKind;
use super::layers::merge;
use super::run::RunConfig;

/// Options that have a flag of their own on the command line of `ddpo train`.
const FLAGS: [(&str, &str); 8] = [
    ("model.path", "--model"),
    ("reward", "--reward"),
    ("train.algorithm", "--algorithm"),
    ("run.epochs", "--epochs"),
    ("run.seed", "--seed"),
    ("run.device", "--device"),
    ("model.dtype", "--dtype"),
    ("lora.format", "--lora-format"),
];

/// What changes no number, and belongs to the machine.
const MACHINE: &str = "run.threads";

/// An option that is not the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its section and its name.
    pub key: String,
    /// What it is.
    pub value: Value,
    /// What it would be; none where that is nothing.
    pub default: Option<Value>,
}

/// The options that differ from the defaults for the kind of model, by their key, in the order in which a configuration is
/// printed. A table need not be a whole configuration: options that it does not name are not compared, and those of another
/// version are listed.
pub fn differences(config: &Table) -> Vec<Difference> {
    let model = config.get("model").and_then(|model| model.get("path")).and_then(Value::as_str);
    let kind = ModelKind::of(model.unwrap_or(&RunConfig::default().model.path));
    let defaults = leaves(&Table::try_from(RunConfig::defaults(kind)).unwrap_or_default());
    let difference = |(key, value): (String, Value)| {
        let default = defaults.iter().find(|(known, _)| *known == key).map(|(_, default)| default.clone());
        let is_default = default.as_ref().is_some_and(|default| same(default, &value));
        (!is_default).then_some(Difference { key, value, default })
    };
    let mut found: Vec<Difference> = leaves(config).into_iter().filter_map(difference).collect();
    let derived = derived_otherwise(kind, config, &found);
    found.extend(derived);
    let place = |key: &str| {
        let section = key.split('.').next().unwrap_or(key);
        RunConfig::SECTIONS.iter().position(|known| known.name == section).map_or(0, |place| place + 1)
    };
    found.sort_by_key(|difference| place(&difference.key));
    found
}

/// The options that are as the defaults say but would not be, were only `found` written: other options bring defaults with them.
fn derived_otherwise(kind: ModelKind, config: &Table, found: &[Difference]) -> Vec<Difference> {
    let mut written = Table::new();
    for Difference { key, value, .. } in found {
        let (section, key) = key.split_once('.').map_or((None, key.as_str()), |(section, key)| (Some(section), key));
        let table = match section {
            Some(section) => written.entry(section).or_insert_with(|| Table::new().into()).as_table_mut(),
            None => Some(&mut written),
        };
        table.map(|table| table.insert(key.to_owned(), value.clone()));
    }
    let resolved = || {
        let mut table = kind.table().ok()?;
        merge(&mut table, written.clone());
        let mut config: RunConfig = table.try_into().ok()?;
        kind.derive(&mut config, &written);
        Table::try_from(config).ok()
    };
    let resolved = leaves(&resolved().unwrap_or_default());
    let is_found = |key: &str| found.iter().any(|difference| difference.key == key);
    let otherwise = |(key, value): (String, Value)| {
        let (_, default) = resolved.iter().find(|(known, _)| *known == key)?;
        (!same(default, &value) && !is_found(&key)).then(|| Difference { key, value, default: Some(default.clone()) })
    };
    leaves(config).into_iter().filter_map(otherwise).collect()
}

/// The command that runs this configuration, with as many threads as there are.
pub fn command(config: &RunConfig) -> String {
    let table = Table::try_from(config).unwrap_or_default();
    let differences = differences(&table).into_iter().filter(|difference| difference.key != MACHINE);
    let mut flags = Vec::new();
    let mut settings = Vec::new();
    for Difference { key, value, .. } in differences {
        match (FLAGS.iter().find(|(known, _)| *known == key), &value) {
            (Some((_, flag)), Value::String(text)) => flags.push(format!(" {flag} {}", quoted(text))),
            (Some((_, flag)), Value::Integer(number)) => flags.push(format!(" {flag} {number}")),
            _ => settings.push(format!(" --set {}", quoted(&format!("{key}={}", bare(&value))))),
        }
    }
    format!("ddpo train{}{}", flags.concat(), settings.concat())
}

/// Every value by its key; a section's keys stand behind its name.
pub(crate) fn leaves(table: &Table) -> Vec<(String, Value)> {
    let mut leaves = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => {
                leaves.extend(section.iter().map(|(key, value)| (format!("{name}.{key}"), value.clone())));
            }
            other => leaves.push((name.clone(), other.clone())),
        }
    }
    leaves
}

/// Equal, where `1` and `1.0` are the same number.
fn same(a: &Value, b: &Value) -> bool {
    let number = |value: &Value| value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
    a == b || number(a).zip(number(b)).is_some_and(|(a, b)| a == b)
}

/// A value as `--set` takes it: a word needs no quotes there.
fn bare(value: &Value) -> String {
    let is_word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !["true", "false", "inf", "nan"].contains(&text)
    };
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::choices::{Algorithm, EvalPrompts, PromptKind, TrustRegion};
    use super::super::layers::Layers;
    use super::*;

    fn changed() -> RunConfig {
        let mut config = RunConfig::defaults(ModelKind::of("/data/my model"));
        config.run.epochs = 7;
        config.run.threads = 3;
        config.train.algorithm = Algorithm::RwrSparse;
        config.train.learning_rate = 1e-3;
        config.model.path = "/data/my model".into();
        config.prompts.kind = PromptKind::List;
        config.prompts.values = Some(vec!["it's a cat".into(), "dog".into()]);
        config.eval.prompts = EvalPrompts::List(vec!["fox".into()]);
        config.track.csv = true;
        config
    }

    #[test]
    fn the_default_differs_in_nothing() {
        assert_eq!(differences(&Table::try_from(RunConfig::default()).unwrap()), []);
        assert_eq!(command(&RunConfig::default()), "ddpo train");
        // A whole number is a way to write a fraction, and what is not named does not differ.
        assert_eq!(differences(&"[sample]\neta = 1\n".parse().unwrap()), []);
    }

    #[test]
    fn the_differences_over_the_default_are_the_configuration() {
        let config = changed();
        let mut layers = Layers::default();
        for Difference { key, value, .. } in differences(&Table::try_from(&config).unwrap()) {
            layers.push_value("test", &key, value).unwrap();
        }
        assert_eq!(layers.resolve().unwrap(), config);
    }

    /// Other options bring defaults with them, which a configuration may not have.
    #[test]
    fn the_command_says_what_would_not_be_the_default_any_more() {
        let mut config = RunConfig::default();
        config.train.trust_region = TrustRegion::NormalisedClip;
        assert_eq!(
            command(&config),
            "ddpo train --set train.trust-region=normalised-clip --set train.clip-range=0.002"
        );
        config.train.clip_range = 2e-6;
        let text = command(&config);
        let mut layers = Layers::default();
        for Difference { key, value, .. } in differences(&Table::try_from(&config).unwrap()) {
            layers.push_value("test", &key, value).unwrap();
        }
        assert_eq!(layers.resolve().unwrap(), config, "{text}");
    }

    #[test]
    fn the_command_says_all_but_the_threads() {
        assert_eq!(
            command(&changed()),
            "ddpo train --epochs 7 --model '/data/my model' --algorithm rwr-sparse --set prompts.kind=list \
             --set 'prompts.values=[\"it'\\''s a cat\", \"dog\"]' --set train.learning-rate=0.001 \
             --set 'eval.prompts=[\"fox\"]' --set track.csv=true"
        );
    }

    #[test]
    fn options_of_another_version_are_listed() {
        let table: Table = "[sample]\nsteps = 10\nof-later = 3\n".parse().unwrap();
        let later = Difference { key: "sample.of-later".into(), value: Value::Integer(3), default: None };
        assert_eq!(differences(&table), [later]);
    }
}
