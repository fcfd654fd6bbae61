//! Numbers of JSON, which has no NaN: what is not finite is written as null and reads back as NaN.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

/// What was not measured.
pub(super) fn nan() -> f64 {
    f64::NAN
}

/// A number, or NaN for null.
pub(super) fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// Numbers by name, NaN for null.
pub(super) fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, f64>, D::Error> {
    let values = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|(name, value)| (name, value.unwrap_or(f64::NAN))).collect())
}

/// A list of numbers, NaN for null.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f32>, D::Error> {
    let values = Vec::<Option<f32>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect())
}

/// Lists of numbers by name, NaN for null.
pub(super) fn named_lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, Vec<f32>>, D::Error> {
    let values = BTreeMap::<String, Vec<Option<f32>>>::deserialize(deserializer)?;
    let list = |values: Vec<Option<f32>>| values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect();
    Ok(values.into_iter().map(|(name, values)| (name, list(values))).collect())
}
