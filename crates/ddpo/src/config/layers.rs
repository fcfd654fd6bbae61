//! Joins what the command line, a file and a preset say over the defaults.

use toml::{Table, Value};

use crate::error::{Error, Result};

use super::kind::ModelKind;
use super::presets::Preset;
use super::rewards::{adopt_classifier, merge_reward, parse_reward};
use super::run::RunConfig;
use super::unknown::find_unknown;

/// Configuration tables in rising order of precedence: preset, file, command line. Below them all are the defaults for the kind
/// of model that they name.
///
/// Each layer is checked by itself as it comes in, so that an error names where it is.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    merged: Table,
    /// Whether a run's own configuration is among them, in which what is absent was absent when the run began.
    is_resolved: bool,
}

impl Layers {
    /// Adds a preset.
    ///
    /// # Errors
    ///
    /// As [`Layers::push_toml`].
    pub fn push_preset(&mut self, preset: &Preset) -> Result<()> {
        self.push(&format!("preset `{}`", preset.name), preset.table()?)
    }

    /// Adds the text of a configuration file; `origin` is its path.
    ///
    /// # Errors
    ///
    /// Fails on TOML that does not parse, unknown keys and values of the wrong type.
    pub fn push_toml(&mut self, origin: &str, text: &str) -> Result<()> {
        let syntax = |source| Error::ConfigSyntax { origin: origin.to_owned(), source };
        let table: Table = text.parse().map_err(syntax)?;
        check_keys(origin, &table)?;
        // Read from the text and not from the table: only then the error shows the line.
        toml::from_str::<RunConfig>(text).map_err(syntax)?;
        self.push(origin, table)
    }

    /// Adds the configuration that a run has written; `origin` is its path. Nothing is derived of it a second time.
    ///
    /// # Errors
    ///
    /// As [`Layers::push_toml`].
    pub fn push_resolved(&mut self, origin: &str, text: &str) -> Result<()> {
        self.is_resolved = true;
        let table: Result<Table, _> = text.parse();
        match table {
            // A run of an earlier version, whose product is as good as it was.
            Ok(mut table) if table.contains_key(MOVED) => {
                adopt_classifier(&mut table, MOVED);
                self.push_toml(origin, &table.to_string())
            }
            _ => self.push_toml(origin, text),
        }
    }

    /// Adds one `section.key=value` of the command line. The value is TOML; what is not is a bare string.
    ///
    /// # Errors
    ///
    /// As [`Layers::push_toml`].
    pub fn push_assignment(&mut self, assignment: &str) -> Result<()> {
        let origin = format!("--set {assignment}");
        let (key, value) =
            assignment.split_once('=').ok_or_else(|| Error::Assignment { found: assignment.to_owned() })?;
        self.push(&origin, nested(key.trim(), parse_value(value.trim())))
    }

    /// Sets one key, as a dedicated command-line option does; `origin` is that option.
    ///
    /// # Errors
    ///
    /// Fails on a value of the wrong type.
    pub fn push_value(&mut self, origin: &str, key: &str, value: impl Into<Value>) -> Result<()> {
        self.push(origin, nested(key, value.into()))
    }

    /// Sets the reward to what the text of a command line says of it: a kind, a line, or a table.
    ///
    /// # Errors
    ///
    /// Fails on what begins as a table and is none.
    pub fn push_reward(&mut self, origin: &str, text: &str) -> Result<()> {
        self.push_value(origin, "reward", parse_reward(text)?)
    }

    /// Drops what earlier layers say of a whole section, for options that replace it.
    pub fn clear_section(&mut self, section: &str) {
        self.merged.remove(section);
    }

    /// The configuration of all layers over the defaults for the kind of model that they name.
    ///
    /// # Errors
    ///
    /// Fails when layers that are valid alone do not fit together.
    pub fn resolve(self) -> Result<RunConfig> {
        const ORIGIN: &str = "the configuration";
        let kind = ModelKind::of(&read(ORIGIN, &self.merged)?.model.path);
        let mut table = kind.table()?;
        merge(&mut table, self.merged.clone());
        let mut config = read(ORIGIN, &table)?;
        if !self.is_resolved {
            kind.derive(&mut config, &self.merged);
        }
        Ok(config)
    }

    fn push(&mut self, origin: &str, table: Table) -> Result<()> {
        check_keys(origin, &table)?;
        read(origin, &table)?;
        check_single_reward(origin, &self.merged, &table)?;
        merge(&mut self.merged, table);
        Ok(())
    }
}

/// An option of a reward without its kind belongs to the one that is there: of several nobody can tell which is meant.
fn check_single_reward(origin: &str, merged: &Table, over: &Table) -> Result<()> {
    let rewards = merged.get("reward").and_then(Value::as_array).map_or(0, Vec::len);
    let options = over.get("reward").and_then(Value::as_table);
    match options.and_then(|options| options.keys().next()) {
        Some(option) if rewards > 1 && options.is_some_and(|options| !options.contains_key("kind")) => {
            Err(Error::InvalidOption {
                key: "reward",
                found: format!("`{option}` in {origin} for one of {rewards} rewards"),
                expected: "the option in the table [[reward]] that it belongs to".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

fn check_keys(origin: &str, table: &Table) -> Result<()> {
    if table.contains_key(MOVED) {
        return Err(Error::MovedSection { origin: origin.to_owned(), section: MOVED, to: MOVED_TO });
    }
    match find_unknown(table) {
        None => Ok(()),
        Some(unknown) => {
            Err(Error::UnknownKey { origin: origin.to_owned(), key: unknown.key, nearest: unknown.nearest })
        }
    }
}

fn read(origin: &str, table: &Table) -> Result<RunConfig> {
    table.clone().try_into().map_err(|source| Error::ConfigSyntax { origin: origin.to_owned(), source })
}

/// A section that earlier versions had.
const MOVED: &str = "classifier";

/// Where its options are now.
const MOVED_TO: &str =
    "options of the reward: [[reward]] with kind = \"diffusion-classifier\", or reward.trials after --set";

/// `a.b` and a value as the table `{ a = { b = value } }`.
fn nested(key: &str, value: Value) -> Table {
    match key.split_once('.') {
        None => Table::from_iter([(key.to_owned(), value)]),
        Some((section, rest)) => Table::from_iter([(section.to_owned(), Value::Table(nested(rest, value)))]),
    }
}

/// A TOML value, or the text itself where it is not one: `--set run.device=cpu` needs no quotes.
fn parse_value(text: &str) -> Value {
    let parsed = format!("value = {text}").parse::<Table>().ok();
    parsed.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// Tables merge key by key; anything else is replaced. A reward that is a line takes options as if it were a table.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(reward), Value::Table(over)) if key == "reward" => merge_reward(reward, over),
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => drop(base.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::choices::{EvalPrompts, PromptKind};
    use super::super::rewards::RewardList;
    use super::*;

    fn resolve(steps: impl Fn(&mut Layers) -> Result<()>) -> Result<RunConfig> {
        let mut layers = Layers::default();
        steps(&mut layers)?;
        layers.resolve()
    }

    #[test]
    fn later_layers_win() {
        let config = resolve(|layers| {
            layers.push_preset(Preset::find("aesthetic")?)?;
            layers.push_toml("run.toml", "[sample]\nsteps = 30\n[run]\nepochs = 7")?;
            layers.push_assignment("sample.steps=10")
        })
        .unwrap();
        assert_eq!((config.sample.steps, config.run.epochs, config.sample.guidance), (10, 7, 5.0));
    }

    #[test]
    fn assignments_take_toml_and_bare_strings() {
        let config = resolve(|layers| {
            layers.push_assignment("run.device=cpu")?;
            layers.push_assignment("train.learning-rate = 1e-5")?;
            layers.push_assignment("eval.prompts=[\"a\", \"b\"]")?;
            layers.push_assignment("prompts.kind=counting")?;
            layers.push_assignment("sample.negative-prompt=blurry, dark")?;
            layers.push_assignment("reward=jpeg-incompressibility")
        })
        .unwrap();
        assert_eq!(config.run.device, "cpu");
        assert_eq!(config.train.learning_rate, 1e-5);
        assert_eq!(config.eval.prompts, EvalPrompts::List(vec!["a".into(), "b".into()]));
        assert_eq!(config.prompts.kind, PromptKind::Counting);
        assert_eq!(config.sample.negative_prompt, "blurry, dark");
        assert_eq!(config.reward, RewardList::named("jpeg-incompressibility"));
    }

    #[test]
    fn the_models_kind_decides_what_no_layer_says() {
        // Whatever the order: the model may be named by the last layer.
        let config = resolve(|layers| {
            layers.push_toml("run.toml", "sample.guidance = 2.0")?;
            layers.push_assignment("model.path=org/model")
        })
        .unwrap();
        assert_eq!((config.sample.guidance, config.sample.steps, config.train.accumulation), (2.0, 50, Some(16)));
        // A preset over another model keeps its settings.
        let config = resolve(|layers| {
            layers.push_preset(Preset::find("quick")?)?;
            layers.push_assignment("model.path=org/model")
        })
        .unwrap();
        assert_eq!((config.sample.steps, config.train.learning_rate), (10, 6e-3));
    }

    #[test]
    fn what_a_run_has_written_is_taken_as_it_is() {
        let written = "model.path = \"org/model\"";
        let fresh = resolve(|layers| layers.push_toml("config.toml", written)).unwrap();
        let resumed = resolve(|layers| layers.push_resolved("config.toml", written)).unwrap();
        assert_eq!((fresh.train.accumulation, resumed.train.accumulation), (Some(16), None));
    }

    #[test]
    fn an_option_of_one_of_several_rewards_is_refused() {
        let two = "[[reward]]\nkind = \"exec:./a\"\n[[reward]]\nkind = \"diversity\"";
        check_error(
            |l| l.push_toml("run.toml", two).and_then(|()| l.push_assignment("reward.batch-size=4")),
            "invalid `reward`: found `batch-size` in --set reward.batch-size=4 for one of 2 rewards, expected the option in \
             the table [[reward]] that it belongs to",
        );
        // Another reward replaces them, and an option of a single one is its own.
        let replaced = resolve(|l| l.push_toml("run.toml", two).and_then(|()| l.push_assignment("reward=diversity")));
        assert_eq!(replaced.unwrap().reward, RewardList::named("diversity"));
        let one = "[[reward]]\nkind = \"exec:./a\"";
        let kept = resolve(|l| l.push_toml("run.toml", one).and_then(|()| l.push_assignment("reward.batch-size=4")));
        let kept = kept.unwrap().reward;
        assert_eq!((kept.0.len(), kept.0[0].kind.as_str()), (1, "exec:./a"));
        assert_eq!(kept.0[0].options["batch-size"].as_integer(), Some(4));
    }

    #[track_caller]
    fn check_error(steps: impl Fn(&mut Layers) -> Result<()>, expected: &str) {
        let error = resolve(steps).unwrap_err();
        let source = std::error::Error::source(&error).map(|s| format!("\n{}", s.to_string().trim_end()));
        assert_eq!(format!("{error}{}", source.unwrap_or_default()), expected);
    }

    #[test]
    fn errors_name_the_layer_the_key_and_the_value() {
        check_error(|l| l.push_assignment("train.lr=3"), "unknown key `train.lr` in --set train.lr=3");
        check_error(
            |l| l.push_assignment("sample.step=3"),
            "unknown key `sample.step` in --set sample.step=3 (did you mean `sample.steps`?)",
        );
        check_error(
            |l| l.push_toml("run.toml", "[classifier]\ntrials = 4"),
            "`classifier` in run.toml has moved: its options are now options of the reward: [[reward]] with kind = \
             \"diffusion-classifier\", or reward.trials after --set",
        );
        check_error(
            |l| l.push_assignment("sample.steps"),
            "cannot read --set `sample.steps`: expected section.key=value",
        );
        check_error(
            |l| l.push_toml("run.toml", "[sample]\nsteps = \"many\"\n"),
            "cannot read run.toml\nTOML parse error at line 2, column 9\n  |\n2 | steps = \"many\"\n  |         ^^^^^^\ninvalid type: string \"many\", expected usize",
        );
        check_error(
            |l| l.push_toml("run.toml", "[sample\n"),
            "cannot read run.toml\nTOML parse error at line 1, column 8\n  |\n1 | [sample\n  |        ^\nunclosed table, expected `]`",
        );
    }
}
