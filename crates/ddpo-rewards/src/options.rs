//! The options of a kind of reward: one declaration writes the type, its defaults and its documentation.

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::{Error, Result};

/// An option of a kind of reward, as `ddpo config` prints it.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The TOML key; `_` stands for `-`.
    pub field: &'static str,
    /// What it does, a line each.
    pub about: &'static [&'static str],
    /// Its default; `None` where there is none.
    pub default: fn() -> Option<Value>,
    /// What to print for an option without a default.
    pub example: Option<&'static str>,
    /// Whether it may differ when a run goes on: it changes no value of the reward.
    pub free: bool,
}

impl OptionSpec {
    /// The TOML key.
    pub fn key(&self) -> String {
        self.field.replace('_', "-")
    }
}

/// Declares a kind's options: `field: type = default [, example = "…"] [, free = true];` under a doc comment, which is the
/// field's documentation and what `ddpo config` prints, so that the two cannot differ.
macro_rules! reward_options {
    ($(#[doc = $about:literal])* $name:ident {
        $( $(#[doc = $doc:literal])* $field:ident : $type:ty = $default:expr
           $(, example = $example:literal)? $(, free = $free:literal)? ; )*
    }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// The options as they are documented.
            pub const SPECS: &'static [$crate::OptionSpec] = &[$( $crate::OptionSpec {
                field: stringify!($field),
                about: &[$($doc),*],
                default: || { let default: $type = $default; toml::Value::try_from(default).ok() },
                example: $crate::options::reward_options!(@optional $($example)?),
                free: $crate::options::reward_options!(@flag $($free)?),
            } ),*];
        }
    };
    (@optional) => { None };
    (@optional $value:literal) => { Some($value) };
    (@flag) => { false };
    (@flag $value:literal) => { $value };
}

pub(crate) use reward_options;

/// The options of a `kind` as the type they are declared by. Keys that are absent have their defaults.
///
/// # Errors
/// [`Error::Options`] for a value of the wrong type, naming its key.
pub fn read_options<O: DeserializeOwned>(kind: &str, options: &Table) -> Result<O> {
    let read = |error: toml::de::Error| Error::Options {
        kind: kind.to_owned(),
        reason: error.to_string().trim().replace('\n', " "),
    };
    options.clone().try_into().map_err(read)
}

/// A count that must be in a range.
///
/// # Errors
/// [`Error::Options`] naming the option, its value and the range.
pub(crate) fn within(kind: &str, key: &str, found: u64, range: std::ops::RangeInclusive<u64>) -> Result<()> {
    if range.contains(&found) {
        return Ok(());
    }
    let reason = format!("`{key}` is {found}, expected {} to {}", range.start(), range.end());
    Err(Error::Options { kind: kind.to_owned(), reason })
}
