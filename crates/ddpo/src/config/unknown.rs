//! Finds configuration keys that do not exist, and the key that was probably meant.

use ddpo_rewards::nearest;
use toml::{Table, Value};

use super::options::Section;
use super::run::RunConfig;
use super::task_options::{AdvantageOptions, PromptOptions};

/// A key that no option has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UnknownKey {
    /// The key as written, with its section.
    pub key: String,
    /// The nearest key that exists, if one is near.
    pub nearest: Option<String>,
}

/// The first key of `table` that [`RunConfig`] does not have.
pub(crate) fn find_unknown(table: &Table) -> Option<UnknownKey> {
    table.iter().find_map(|(name, value)| match (name.as_str(), value) {
        // Which options a reward has depends on its kind; the plan looks at them once all layers are joined.
        ("reward", _) => None,
        ("task", Value::Array(tasks)) => tasks.iter().filter_map(Value::as_table).find_map(unknown_in_task),
        // What is no list of tables is of the wrong type.
        ("task", _) => None,
        _ => unknown_in_section(name, value),
    })
}

/// The first key of a task that there is not; its tables have the options of sections.
fn unknown_in_task(task: &Table) -> Option<UnknownKey> {
    let of = |place: &str, table: &Table, section: &Section| {
        let known: Vec<String> = section.entries.iter().map(|entry| format!("{place}.{}", entry.key())).collect();
        let key = table.keys().map(|key| format!("{place}.{key}")).find(|key| !known.contains(key))?;
        let nearest = nearest(&key, known.iter().map(String::as_str)).map(String::from);
        Some(UnknownKey { key, nearest })
    };
    let within = |name: &str, section: &Section| of(&format!("task.{name}"), task.get(name)?.as_table()?, section);
    of("task", task, &RunConfig::TASK)
        .or_else(|| within("prompts", &PromptOptions::SECTION))
        .or_else(|| within("advantage", &AdvantageOptions::SECTION))
}

fn unknown_in_section(name: &str, value: &Value) -> Option<UnknownKey> {
    let Some(section) = RunConfig::SECTIONS.iter().find(|section| section.name == name) else {
        return Some(unknown(name.to_owned()));
    };
    let known: Vec<String> = section.entries.iter().map(|entry| entry.key()).collect();
    let stray = value.as_table()?.keys().find(|key| !known.contains(key))?;
    Some(unknown(format!("{name}.{stray}")))
}

fn unknown(key: String) -> UnknownKey {
    let keys = all_keys();
    let nearest =
        same_name_elsewhere(&key, &keys).or_else(|| nearest(&key, keys.iter().map(String::as_str)).map(String::from));
    UnknownKey { key, nearest }
}

/// `epochs` for `run.epochs`, `train.steps` for `sample.steps`: the right name in the wrong place.
fn same_name_elsewhere(key: &str, keys: &[String]) -> Option<String> {
    let name = key.rsplit('.').next()?;
    keys.iter().find(|known| known.split('.').nth(1) == Some(name)).cloned()
}

/// Every key, as `section.key`, and the bare names of the sections.
fn all_keys() -> Vec<String> {
    let options = RunConfig::SECTIONS
        .iter()
        .flat_map(|section| section.entries.iter().map(|entry| format!("{}.{}", section.name, entry.key())));
    let sections = RunConfig::SECTIONS.iter().map(|section| section.name.to_owned());
    options.chain(sections).chain(["reward", "task"].map(String::from)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(toml: &str, key: &str, nearest: Option<&str>) {
        let found = find_unknown(&toml.parse().unwrap()).unwrap();
        assert_eq!((found.key.as_str(), found.nearest.as_deref()), (key, nearest));
    }

    #[test]
    fn names_the_stray_key_and_the_nearest() {
        check("[train]\nlerning-rate = 1", "train.lerning-rate", Some("train.learning-rate"));
        check("[train]\nlearning_rate = 1", "train.learning_rate", Some("train.learning-rate"));
        check("epochs = 3", "epochs", Some("run.epochs"));
        check("[train]\nsteps = 3", "train.steps", Some("sample.steps"));
        check("[trian]\nbatch-size = 3", "trian", Some("train"));
        check("[run]\nxyzzy = 3", "run.xyzzy", None);
        check("[[tasks]]\nname = \"a\"", "tasks", Some("task"));
        check("[[task]]\nnaem = \"a\"", "task.naem", Some("task.name"));
        check("[[task]]\nprompts = { valeus = [] }", "task.prompts.valeus", Some("task.prompts.values"));
    }

    #[test]
    fn accepts_every_key_there_is() {
        for section in RunConfig::SECTIONS {
            for entry in section.entries {
                let table: Table = format!("[{}]\n{} = 1", section.name, entry.key()).parse().unwrap();
                assert_eq!(find_unknown(&table), None);
            }
        }
    }
}
