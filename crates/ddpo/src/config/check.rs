//! Checks of one option's value, and the error that names it.

use std::fmt::Display;

use crate::error::{Error, Result};

pub(super) fn at_least_one(key: &'static str, value: usize) -> Result<()> {
    if value == 0 { Err(invalid(key, value, "at least 1")) } else { Ok(()) }
}

/// A bound far above any use, so that a slip of the hand is an error and not the end of the machine's memory.
pub(super) fn at_most(key: &'static str, value: usize, most: usize) -> Result<()> {
    if value > most { Err(invalid(key, value, format_args!("at most {most}"))) } else { Ok(()) }
}

pub(super) fn positive(key: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(invalid(key, value, "a finite number above 0")) }
}

pub(super) fn within(key: &'static str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    let expected = if high == f64::MAX { format!("at least {low}") } else { format!("{low} to {high}") };
    Err(invalid(key, value, expected))
}

pub(super) fn invalid(key: &'static str, found: impl Display, expected: impl Display) -> Error {
    Error::InvalidOption { key, found: found.to_string(), expected: expected.to_string() }
}
