//! Rewards by name.

use std::fmt;

use ddpo_core::Reward;

use crate::error::{Error, Result};

/// The name of a reward that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewardName(String);

/// Rewards of the design that are not in this version; what ends in a slash is a prefix.
const NOT_BUILT: &[&str] = &["aesthetic", "alignment", "http://", "https://"];

/// Every reward there is.
fn known() -> impl Iterator<Item = &'static str> {
    ddpo_rewards::NAMES.into_iter().chain([RewardName::CLASSIFIER])
}

impl RewardName {
    /// How sure the base model is of the prompt: the reward that needs a model to be made.
    pub const CLASSIFIER: &'static str = "diffusion-classifier";

    /// Checks that there is such a reward. No program is started.
    ///
    /// # Errors
    ///
    /// Tells a reward that is not built yet from a name that means nothing.
    pub fn parse(name: &str) -> Result<Self> {
        let is_planned =
            |planned: &str| if planned.ends_with('/') { name.starts_with(planned) } else { name == planned };
        if NOT_BUILT.iter().any(|planned| is_planned(planned)) {
            return Err(Error::NotBuilt {
                what: format!("the reward `{name}`"),
                instead: format!("give another by --reward: {}", known().collect::<Vec<_>>().join(", ")),
            });
        }
        if name == Self::CLASSIFIER {
            return Ok(Self(name.to_owned()));
        }
        match ddpo_rewards::by_name(name) {
            Ok(_) => Ok(Self(name.to_owned())),
            Err(ddpo_rewards::Error::Unknown { .. }) => Err(Error::UnknownName {
                what: "reward",
                found: name.to_owned(),
                nearest: crate::config::nearest(name, known()).map(String::from),
                known: known().map(String::from).collect(),
            }),
            Err(error) => {
                Err(Error::InvalidOption { key: "reward", found: format!("`{name}`"), expected: error.to_string() })
            }
        }
    }

    /// The name in configuration files, metrics and on the command line.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the reward asks the base model, so that [`open`](Self::open) cannot make it.
    pub fn needs_model(&self) -> bool {
        self.0 == Self::CLASSIFIER
    }

    /// The reward.
    ///
    /// # Errors
    ///
    /// Whatever keeps it from being made.
    pub fn open(&self) -> Result<Box<dyn Reward>> {
        self.check_model()?;
        Ok(ddpo_rewards::by_name(&self.0)?)
    }

    /// The reward with its answers as they are, for a run, which checks them itself.
    pub(crate) fn open_unchecked(&self) -> Result<Box<dyn Reward>> {
        self.check_model()?;
        Ok(ddpo_rewards::by_name_unchecked(&self.0)?)
    }

    fn check_model(&self) -> Result<()> {
        if self.needs_model() { Err(Error::NeedsModel { name: self.0.clone() }) } else { Ok(()) }
    }
}

impl fmt::Display for RewardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for name in ["jpeg-compressibility", "jpeg-incompressibility", "exec:./score --fast"] {
            assert_eq!(RewardName::parse(name).unwrap().open().unwrap().name(), name);
        }
    }

    #[test]
    fn unknown_and_unbuilt_rewards_are_told_apart() {
        let message = |name| RewardName::parse(name).unwrap_err().to_string();
        assert_eq!(
            message("jpeg-compresibility"),
            "unknown reward `jpeg-compresibility` (did you mean `jpeg-compressibility`?); known: jpeg-compressibility, jpeg-incompressibility, exec:PROGRAM, diffusion-classifier"
        );
        for name in ["aesthetic", "http://localhost:1"] {
            assert!(message(name).starts_with(&format!("the reward `{name}` is not built")), "{}", message(name));
        }
        assert!(message("exec: ").starts_with("invalid `reward`: found `exec: `"), "{}", message("exec: "));
    }
}
