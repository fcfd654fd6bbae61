//! Rewards as a configuration states them: in a line, as a table of options, or as a list of either.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use ddpo_core::Grouping;
use ddpo_rewards::{PosteriorOptions, RewardPlan, RewardRegistry};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use toml::{Table, Value};

use crate::error::Result;

use super::check::invalid;
use super::options::{Kind, OptionType};

/// A reward as a configuration states it.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardEntry {
    /// Its kind, or a line such as `exec:./score.py`; empty where nothing is said.
    pub kind: String,
    /// What its value is multiplied by in a sum.
    pub weight: f64,
    /// The least and the largest value that count.
    pub clip: Option<[f64; 2]>,
    /// The sets over which training sees the value in standard deviations from the mean.
    pub normalise: Option<Normalise>,
    /// The options of its kind.
    pub options: Table,
}

/// Over which samples a reward is normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// Those of one prompt in an epoch.
    Prompt,
    /// All of an epoch.
    Epoch,
}

/// Rewards as a configuration states them.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardList(pub Vec<RewardEntry>);

/// A reward that can be opened, as a term of a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardTerm {
    /// What scores.
    pub reward: RewardPlan,
    /// What its value is multiplied by.
    pub weight: f64,
    /// The least and the largest value that count.
    pub clip: Option<[f64; 2]>,
    /// The sets over which training sees the value in standard deviations from the mean.
    pub normalise: Option<Grouping>,
}

impl RewardEntry {
    /// The reward of a line, with the defaults of its options.
    pub fn named(kind: impl Into<String>) -> Self {
        Self { kind: kind.into(), weight: 1.0, clip: None, normalise: None, options: Table::new() }
    }

    /// The reward of a command line: a kind, a line such as `exec:./score.py`, or a table as a configuration has them,
    /// `{ kind = "hpsv2", model = "DIRECTORY" }`.
    ///
    /// # Errors
    ///
    /// If it begins as a table and is none.
    pub fn parse(text: &str) -> Result<Self> {
        let table = match parse_reward(text)? {
            Value::Table(table) => table,
            _ => return Ok(Self::named(text)),
        };
        table.try_into().map_err(|error: toml::de::Error| invalid("reward", text, error.message()))
    }

    /// Whether a line says it all.
    fn is_line(&self) -> bool {
        self.options.is_empty() && self.is_plain()
    }

    /// Whether its value counts as it is.
    fn is_plain(&self) -> bool {
        self.weight == 1.0 && self.clip.is_none() && self.normalise.is_none()
    }

    /// What scores, where nothing is summed; `key` is for the error.
    pub(crate) fn alone(&self, key: &'static str, registry: &RewardRegistry) -> Result<RewardPlan> {
        let RewardTerm { reward, .. } = self.term(registry)?;
        if self.is_plain() {
            return Ok(reward);
        }
        let found = format!("weight, clip or normalise of `{reward}`");
        Err(invalid(key, found, "none of them, as nothing is summed"))
    }

    fn term(&self, registry: &RewardRegistry) -> Result<RewardTerm> {
        if self.kind.is_empty() {
            let expected = format!("one of {}", registry.usages().join(", "));
            return Err(invalid("reward.kind", "nothing", expected));
        }
        if !self.weight.is_finite() || self.weight == 0.0 {
            return Err(invalid("reward.weight", self.weight, "a number other than 0"));
        }
        if let Some([low, high]) = self.clip.filter(|[low, high]| low.partial_cmp(high) != Some(Ordering::Less)) {
            return Err(invalid("reward.clip", format!("[{low}, {high}]"), "a number and a larger one"));
        }
        let normalise = self.normalise.map(|over| match over {
            Normalise::Prompt => Grouping::Prompt,
            Normalise::Epoch => Grouping::Epoch,
        });
        let reward = registry.plan(&self.kind, &self.options)?;
        Ok(RewardTerm { reward, weight: self.weight, clip: self.clip, normalise })
    }

    /// Adds the options without which it would mean something else in another working directory.
    fn anchor(&mut self, registry: &RewardRegistry, directory: &Path) {
        // What is no reward is an error of the plan.
        if let Ok(plan) = registry.plan(&self.kind, &self.options) {
            self.options.extend(plan.anchor(directory));
        }
    }
}

impl RewardList {
    /// No rewards.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// One reward, in a line.
    pub fn named(kind: impl Into<String>) -> Self {
        Self(vec![RewardEntry::named(kind)])
    }

    /// The terms of the reward that is optimised.
    pub(super) fn terms(&self, registry: &RewardRegistry) -> Result<Vec<RewardTerm>> {
        if self.0.is_empty() {
            return Err(invalid("reward", "[]", "at least one [[reward]]"));
        }
        self.0.iter().map(|entry| entry.term(registry)).collect()
    }

    /// The rewards that are measured and never optimised, by name.
    pub(super) fn held_out(&self, registry: &RewardRegistry) -> Result<Vec<RewardPlan>> {
        const KEY: &str = "eval.held-out";
        let mut plans: Vec<RewardPlan> = Vec::new();
        for entry in &self.0 {
            let reward = entry.alone(KEY, registry)?;
            if plans.iter().any(|other| other.name() == reward.name()) {
                return Err(invalid(KEY, format!("`{reward}` twice"), "a reward once, as each is a curve of its own"));
            }
            plans.push(reward);
        }
        Ok(plans)
    }

    /// The same rewards from any working directory.
    pub(super) fn anchor(&mut self, registry: &RewardRegistry, directory: &Path) {
        self.0.iter_mut().for_each(|entry| entry.anchor(registry, directory));
    }

    /// The same without the options that may differ when a run goes on; `plans` are those of the first entries.
    pub(crate) fn fixed<'a>(&self, plans: impl IntoIterator<Item = &'a RewardPlan>) -> Self {
        let mut fixed = self.clone();
        for (entry, plan) in fixed.0.iter_mut().zip(plans) {
            entry.options.retain(|key, _| !plan.is_free(key));
        }
        fixed
    }
}

impl OptionType for RewardList {
    const KIND: Kind = Kind::Any("a reward's name, a table with its kind and options, or a list of them");
}

/// The reward that a run optimises unless another is named.
impl Default for RewardList {
    fn default() -> Self {
        Self::named("jpeg-compressibility")
    }
}

/// Makes `--set reward.KEY=VALUE` an option of the reward that is there: a line becomes a table, a list of one its entry.
/// A table with a kind of its own replaces what is there.
pub(super) fn merge_reward(base: &mut Value, over: Table) {
    if over.contains_key("kind") {
        *base = Value::Table(over);
        return;
    }
    let entry = match &*base {
        Value::Array(entries) if entries.len() == 1 => &entries[0],
        other => other,
    };
    let mut table = match entry.clone() {
        Value::Table(table) => table,
        Value::String(kind) => Table::from_iter([("kind".to_owned(), kind.into())]),
        // Of several rewards nobody can tell which one is meant: such an option does not get here.
        _ => Table::new(),
    };
    table.extend(over);
    *base = Value::Table(table);
}

/// What the text of a command line says of a reward: a table if it begins as one, else itself.
pub(super) fn parse_reward(text: &str) -> Result<Value> {
    if !text.trim_start().starts_with('{') {
        return Ok(Value::String(text.to_owned()));
    }
    let wrong = |error: toml::de::Error| {
        invalid(
            "reward",
            text,
            format!("a table such as {{ kind = \"hpsv2\", model = \"DIRECTORY\" }}: {}", error.message()),
        )
    };
    let mut table = format!("reward = {text}").parse::<Table>().map_err(wrong)?;
    Ok(table.remove("reward").unwrap_or(Value::Table(table)))
}

/// Makes the `section` of an earlier version, which all rewards that ask the base model shared, options of each of them.
pub(super) fn adopt_classifier(table: &mut Table, section: &str) {
    let Some(Value::Table(options)) = table.remove(section) else { return };
    let adopt = |value: &mut Value| match value {
        Value::String(kind) if kind == PosteriorOptions::KIND => merge_reward(value, options.clone()),
        Value::Table(entry) if entry.get("kind").and_then(Value::as_str) == Some(PosteriorOptions::KIND) => {
            merge_reward(value, options.clone());
        }
        _ => {}
    };
    let rewards = |value: Option<&mut Value>| match value {
        Some(Value::Array(entries)) => entries.iter_mut().for_each(adopt),
        Some(entry) => adopt(entry),
        None => {}
    };
    rewards(table.get_mut("reward"));
    rewards(table.get_mut("eval").and_then(|eval| eval.get_mut("held-out")));
}

impl Serialize for RewardEntry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.is_line() {
            return serializer.serialize_str(&self.kind);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", &self.kind)?;
        if self.weight != 1.0 {
            map.serialize_entry("weight", &self.weight)?;
        }
        if let Some(clip) = &self.clip {
            map.serialize_entry("clip", clip)?;
        }
        if let Some(normalise) = &self.normalise {
            map.serialize_entry("normalise", normalise)?;
        }
        self.options.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for RewardEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LineOrTable;
        impl<'de> Visitor<'de> for LineOrTable {
            type Value = RewardEntry;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reward's name or a table with its kind and options")
            }
            fn visit_str<E: de::Error>(self, kind: &str) -> Result<RewardEntry, E> {
                Ok(RewardEntry::named(kind))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RewardEntry, A::Error> {
                let mut options = Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(RewardEntry {
                    kind: taken(&mut options, "kind")?.unwrap_or_default(),
                    weight: taken(&mut options, "weight")?.unwrap_or(1.0),
                    clip: taken(&mut options, "clip")?,
                    normalise: taken(&mut options, "normalise")?,
                    options,
                })
            }
        }
        deserializer.deserialize_any(LineOrTable)
    }
}

/// The value of a key, out of the table.
fn taken<T: DeserializeOwned, E: de::Error>(options: &mut Table, key: &str) -> Result<Option<T>, E> {
    let value = options.remove(key).map(|value| value.try_into::<T>()).transpose();
    value.map_err(|error| E::custom(format_args!("{} in a reward's `{key}`", error.message())))
}

impl Serialize for RewardList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [entry] if entry.is_line() => serializer.serialize_str(&entry.kind),
            entries => entries.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RewardList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = RewardList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a reward's name, a table with its kind and options, or a list of them")
            }
            fn visit_str<E: de::Error>(self, kind: &str) -> Result<RewardList, E> {
                Ok(RewardList::named(kind))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RewardList, A::Error> {
                Ok(RewardList(vec![RewardEntry::deserialize(MapAccessDeserializer::new(map))?]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<RewardList, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(entries)).map(RewardList)
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Layers, RunConfig, RunPlan};

    fn config(steps: impl Fn(&mut Layers) -> Result<()>) -> RunConfig {
        let mut layers = Layers::default();
        steps(&mut layers).unwrap();
        layers.resolve().unwrap()
    }

    fn terms(toml: &str, assignments: &[&str]) -> Vec<(String, f64)> {
        let config = config(|layers| {
            layers.push_toml("run.toml", toml)?;
            assignments.iter().try_for_each(|assignment| layers.push_assignment(assignment))
        });
        let plan = RunPlan::new(config).unwrap();
        plan.reward.iter().map(|term| (term.reward.name().to_owned(), term.weight)).collect()
    }

    #[track_caller]
    fn check(toml: &str, assignments: &[&str], expect: &[(&str, f64)]) {
        let expect: Vec<(String, f64)> = expect.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        assert_eq!(terms(toml, assignments), expect);
    }

    #[test]
    fn a_command_line_may_have_a_table() {
        let entry = RewardEntry::parse("{ kind = \"exec\", program = \"a b\", weight = 2 }").unwrap();
        assert_eq!((entry.kind.as_str(), entry.weight), ("exec", 2.0));
        assert_eq!(RewardEntry::parse("exec:a {b}").unwrap(), RewardEntry::named("exec:a {b}"));
        let message = RewardEntry::parse("{ kind = ").unwrap_err().to_string();
        assert!(message.contains("found { kind = , expected a table such as"), "{message}");
        let registry = RewardRegistry::default();
        let message = entry.alone("reward", &registry).unwrap_err().to_string();
        assert!(message.contains("weight, clip or normalise of `exec:'a b'`"), "{message}");
        let config = config(|layers| layers.push_reward("--reward", "{ kind = \"exec\", program = \"a b\" }"));
        assert_eq!(RunPlan::new(config).unwrap().reward[0].reward.name(), "exec:'a b'");
    }

    #[test]
    fn a_line_a_table_and_a_list_are_rewards() {
        check("", &[], &[("jpeg-compressibility", 1.0)]);
        check("reward = \"exec:./a.py -x\"", &[], &[("exec:./a.py -x", 1.0)]);
        check("[reward]\nkind = \"exec\"\nprogram = \"a b\"", &[], &[("exec:'a b'", 1.0)]);
        check(
            "[[reward]]\nkind = \"exec:a\"\ntimeout = 3\nweight = 2\n[[reward]]\nkind = \"jpeg-compressibility\"",
            &[],
            &[("exec:a", 2.0), ("jpeg-compressibility", 1.0)],
        );
        check("reward = [\"exec:a\", { kind = \"exec\", program = \"b\" }]", &[], &[("exec:a", 1.0), ("exec:b", 1.0)]);
    }

    #[test]
    fn an_option_on_the_command_line_is_one_of_the_reward_that_is_there() {
        let of = |toml: &str, assignment: &str| {
            let config = config(|layers| {
                layers.push_toml("run.toml", toml)?;
                layers.push_assignment(assignment)
            });
            config.reward.0
        };
        let line = of("reward = \"exec:a\"", "reward.timeout=3");
        assert_eq!((line[0].kind.as_str(), line[0].options["timeout"].as_integer()), ("exec:a", Some(3)));
        let table = of("[[reward]]\nkind = \"exec\"\nprogram = \"a\"\ntimeout = 9", "reward.timeout=3");
        assert_eq!((table[0].options.len(), table[0].options["timeout"].as_integer()), (2, Some(3)));
        let other = of("[reward]\nkind = \"exec\"\nprogram = \"a\"", "reward=jpeg-compressibility");
        assert_eq!(other, RewardList::default().0);
    }

    #[test]
    fn a_term_may_be_clipped_and_normalised_and_reads_back() {
        let toml =
            "[[reward]]\nkind = \"exec:a\"\nclip = [-1, 2.5]\nnormalise = \"prompt\"\n[[reward]]\nkind = \"diversity\"";
        let config = config(|layers| layers.push_toml("run.toml", toml));
        let plan = RunPlan::new(config.clone()).unwrap();
        assert_eq!((plan.reward[0].clip, plan.reward[0].normalise), (Some([-1.0, 2.5]), Some(Grouping::Prompt)));
        assert_eq!((plan.reward[1].clip, plan.reward[1].normalise), (None, None));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<RunConfig>(&text).unwrap(), config, "{text}");
        let mut wrong = config.clone();
        wrong.reward.0[0].clip = Some([2.0, 2.0]);
        let message = RunPlan::new(wrong).unwrap_err().to_string();
        assert!(message.contains("reward.clip") && message.contains("a larger one"), "{message}");
    }

    #[track_caller]
    fn check_error(assignments: &[&str], expect: &str) {
        let config = config(|layers| assignments.iter().try_for_each(|assignment| layers.push_assignment(assignment)));
        let message = RunPlan::new(config).unwrap_err().to_string();
        assert!(message.starts_with(expect), "{message}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check_error(&["reward=[]"], "invalid `reward`: found []");
        check_error(&["reward=[{ weight = 2 }]"], "invalid `reward.kind`: found nothing, expected one of jpeg-");
        check_error(&["reward.weight=0"], "invalid `reward.weight`: found 0");
        check_error(&["reward.timeout=3"], "the reward `jpeg-compressibility` has no option `timeout`");
        check_error(
            &["reward=exec:a", "reward.timeuot=3"],
            "the reward `exec` has no option `timeuot` (did you mean `timeout`?)",
        );
        check_error(&["eval.held-out=jpeg"], "unknown reward `jpeg`");
        check_error(&["eval.held-out=[\"exec:a\", \"exec:a\"]"], "invalid `eval.held-out`: found `exec:a` twice");
        check_error(
            &["eval.held-out=[{ kind = \"exec:a\", weight = 2.0 }]"],
            "invalid `eval.held-out`: found weight, clip or normalise of `exec:a`",
        );
    }

    #[test]
    fn a_run_of_an_earlier_version_keeps_what_its_classifier_was_told() {
        let mut layers = Layers::default();
        let text = "reward = \"diffusion-classifier\"\n[classifier]\ntrials = 3\n[eval]\nheld-out = [\"exec:a\"]";
        layers.push_resolved("run", text).unwrap();
        let config = layers.resolve().unwrap();
        assert_eq!(config.reward.0[0].options["trials"].as_integer(), Some(3));
        assert_eq!(config.eval.held_out, RewardList::named("exec:a"));
        RunPlan::new(config).unwrap();
    }

    #[test]
    fn a_program_is_the_same_from_any_directory() {
        let mut list = RewardList::named("exec:./a.py");
        list.anchor(&RewardRegistry::default(), Path::new("/somewhere"));
        assert_eq!(list.0[0].options["directory"].as_str(), Some("/somewhere"));
        list.anchor(&RewardRegistry::default(), Path::new("/elsewhere"));
        assert_eq!(list.0[0].options["directory"].as_str(), Some("/somewhere"));
    }
}
