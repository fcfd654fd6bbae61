//! The key of a server, which is in the environment and nowhere else.

use std::fmt;

use crate::{Error, Result};

/// A key. It is sent to the server of its address, and never shown.
#[derive(Clone)]
pub struct Key(String);

impl Key {
    /// The key in a variable of the environment.
    pub fn from_environment(kind: &str, variable: &str) -> Result<Self> {
        let invalid = |reason| Error::Options { kind: kind.to_owned(), reason };
        let value = std::env::var(variable).unwrap_or_default();
        let value = value.trim();
        if value.is_empty() {
            return Err(invalid(format!("`key-env` names the environment variable {variable}, which is not set")));
        }
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid(format!(
                "the environment variable {variable} holds characters that a key cannot have"
            )));
        }
        Ok(Self(value.to_owned()))
    }

    /// What a request says in its header `authorization`.
    pub fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }

    /// A text of the server's without the key, which some servers repeat.
    pub fn hidden_in(&self, text: &str) -> String {
        text.replace(&self.0, "…")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}
