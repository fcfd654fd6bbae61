//! Finds configuration keys that do not exist, and the key that was probably meant.

use toml::{Table, Value};

use super::choices::WeightedReward;
use super::run::RunConfig;

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
        ("reward", Value::Array(terms)) => terms.iter().find_map(unknown_in_reward),
        ("reward", _) => None,
        _ => unknown_in_section(name, value),
    })
}

fn unknown_in_section(name: &str, value: &Value) -> Option<UnknownKey> {
    let Some(section) = RunConfig::SECTIONS.iter().find(|section| section.name == name) else {
        return Some(unknown(name.to_owned()));
    };
    let known: Vec<String> = section.entries.iter().map(|entry| entry.key()).collect();
    let stray = value.as_table()?.keys().find(|key| !known.contains(key))?;
    Some(unknown(format!("{name}.{stray}")))
}

fn unknown_in_reward(term: &Value) -> Option<UnknownKey> {
    let stray = term.as_table()?.keys().find(|key| !WeightedReward::KEYS.contains(&key.as_str()))?;
    Some(UnknownKey {
        key: format!("reward.{stray}"),
        nearest: nearest(stray, WeightedReward::KEYS.iter().copied()).map(|key| format!("reward.{key}")),
    })
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
    options.chain(sections).chain(["reward".to_owned()]).collect()
}

/// The candidate at the least edit distance, when it is at most a third of the word, or two letters swapped.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(2))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row of the table at a time; `_` and `-` count as the same letter.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.replace('_', "-"), b.replace('_', "-"));
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
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
        check("[[reward]]\nkind = \"a\"\nwieght = 1", "reward.wieght", Some("reward.weight"));
        check("[run]\nxyzzy = 3", "run.xyzzy", None);
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

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("batch_size", "batch-size"), 0);
    }
}
