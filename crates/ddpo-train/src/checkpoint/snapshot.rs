//! What a checkpoint keeps, and whose it is.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::tensors::NamedTensor;

/// The whole state of a trainer at an epoch boundary.
///
/// Noise, prompts and permutations are functions of the seed and of counters, so no random state is in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The epochs done; a run which has only evaluated the base model has done 0.
    pub epoch: u64,
    /// Whole numbers by name: optimizer steps, reward queries.
    pub counters: BTreeMap<String, u64>,
    /// Lists of words by name: the prompts whose rewards an advantage tracker remembers.
    pub texts: BTreeMap<String, Vec<String>>,
    /// Parameters, moments and every other number, in f32.
    pub tensors: Vec<NamedTensor>,
    /// The length in bytes of each growing file of the run (`metrics.jsonl`), by name.
    pub lengths: BTreeMap<String, u64>,
}

/// Which run a checkpoint belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Identity {
    /// The model, in a form which another model cannot have (a name and a digest).
    pub model: String,
    /// The settings which decide the results, as `(key, value)`; those which may change (epochs, device, cadence) are
    /// not in it.
    pub settings: BTreeMap<String, String>,
    /// The resolved configuration as text, for people.
    pub config: String,
}

impl Snapshot {
    /// The counter called `name`; 0 where it is missing.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.get(name).copied().unwrap_or(0)
    }

    /// The recorded length of the growing file `name`; 0 where it is missing.
    pub fn length(&self, name: &str) -> u64 {
        self.lengths.get(name).copied().unwrap_or(0)
    }
}

impl Identity {
    /// Whether a run which is `self` may go on from a checkpoint of `other`.
    ///
    /// # Errors
    /// [`Error::OtherModel`], or [`Error::ChangedSetting`] naming the first setting which differs.
    pub fn accepts(&self, other: &Self) -> Result<()> {
        if self.model != other.model {
            return Err(Error::OtherModel { found: other.model.clone(), wanted: self.model.clone() });
        }
        let keys = self.settings.keys().chain(other.settings.keys());
        for key in keys {
            let (now, then) = (self.settings.get(key), other.settings.get(key));
            if now != then {
                return Err(Error::ChangedSetting { key: key.clone(), found: shown(then), wanted: shown(now) });
            }
        }
        Ok(())
    }
}

fn shown(value: Option<&String>) -> String {
    value.map_or("not set".to_owned(), |value| format!("`{value}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(rate: &str) -> Identity {
        let settings = BTreeMap::from([("train.learning-rate".to_owned(), rate.to_owned())]);
        Identity { model: "emoji".into(), settings, config: String::new() }
    }

    #[test]
    fn a_changed_setting_is_named_with_both_values() {
        let message = identity("1e-3").accepts(&identity("3e-4")).unwrap_err().to_string();
        for part in ["train.learning-rate", "1e-3", "3e-4"] {
            assert!(message.contains(part), "{message}");
        }
        identity("1e-3").accepts(&identity("1e-3")).unwrap();
    }

    #[test]
    fn a_setting_which_one_side_lacks_is_a_change() {
        let empty = Identity { model: "emoji".into(), ..Identity::default() };
        assert!(empty.accepts(&identity("1")).is_err());
        assert!(identity("1").accepts(&empty).is_err());
    }

    #[test]
    fn another_model_is_refused_by_name() {
        let other = Identity { model: "sd-1.5".into(), ..identity("1") };
        let message = identity("1").accepts(&other).unwrap_err().to_string();
        assert!(message.contains("sd-1.5") && message.contains("emoji"), "{message}");
    }
}
