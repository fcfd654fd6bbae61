//! Reading a `config.json` field by field, so that nothing in it is ignored in silence.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    error::{Error, Result},
    json::parse_json,
};

/// The object of one `config.json`, from which fields are taken until nothing unexplained is left.
#[derive(Debug)]
pub struct Fields {
    component: &'static str,
    map: Map<String, Value>,
}

impl Fields {
    /// Parses the file `name` of `component`.
    ///
    /// # Errors
    ///
    /// If it is no JSON object.
    pub fn parse(component: &'static str, name: &str, json: &[u8]) -> Result<Self> {
        Ok(Self { component, map: parse_json(name, json)? })
    }

    /// The fields of an object that was one of these, of the same component.
    #[must_use]
    pub fn nested(&self, map: Map<String, Value>) -> Self {
        Self { component: self.component, map }
    }

    /// Takes a field out; absence and null both mean `default`.
    ///
    /// # Errors
    ///
    /// If its value is not of type `T`.
    pub fn take<T: DeserializeOwned>(&mut self, field: &str, default: T) -> Result<T> {
        Ok(self.optional(field)?.unwrap_or(default))
    }

    /// Takes a field out; absence and null both mean `None`.
    ///
    /// # Errors
    ///
    /// If its value is not of type `T`.
    pub fn optional<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<T>> {
        match self.map.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(&value) {
                Ok(parsed) => Ok(Some(parsed)),
                Err(error) => Err(self.refuse(field, &value, error)),
            },
        }
    }

    /// Takes a number or one number for each of `count` blocks.
    ///
    /// # Errors
    ///
    /// If its value is neither, or a list of another length.
    pub fn per_block<T: DeserializeOwned + Clone>(&mut self, field: &str, default: T, count: usize) -> Result<Vec<T>> {
        match self.map.remove(field) {
            Some(Value::Array(items)) => {
                let shown = Value::Array(items.clone());
                let parsed: std::result::Result<Vec<T>, _> = items.into_iter().map(T::deserialize).collect();
                match parsed {
                    Ok(values) if values.len() == count => Ok(values),
                    Ok(_) => Err(self.refuse(field, &shown, format!("a list of {count}, one for each block"))),
                    Err(error) => Err(self.refuse(field, &shown, error)),
                }
            }
            other => {
                if let Some(value) = other {
                    self.map.insert(field.to_owned(), value);
                }
                Ok(vec![self.take(field, default)?; count])
            }
        }
    }

    /// Takes a field that is accepted absent, null or with one of these values only.
    ///
    /// # Errors
    ///
    /// If it has another value.
    pub fn fixed(&mut self, field: &str, accepted: &[Value]) -> Result<()> {
        match self.map.remove(field) {
            None | Some(Value::Null) => Ok(()),
            Some(value) if accepted.iter().any(|wanted| same(wanted, &value)) => Ok(()),
            Some(value) => {
                let wanted: Vec<String> = accepted.iter().map(Value::to_string).chain(["null".to_owned()]).collect();
                Err(self.refuse(field, &value, wanted.join(" or ")))
            }
        }
    }

    /// Takes fields whose values say nothing about the computation.
    pub fn ignore(&mut self, fields: &[&str]) {
        for field in fields {
            self.map.remove(*field);
        }
    }

    /// Whether a field is present and not null.
    pub fn has(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(|value| !value.is_null())
    }

    /// Whether a field is a list.
    pub fn is_list(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_array)
    }

    /// Whether a field is present and null.
    pub fn is_null(&self, field: &str) -> bool {
        self.map.get(field).is_some_and(Value::is_null)
    }

    /// Refuses whatever is left, except nulls and the `_` fields of the file's writer.
    ///
    /// # Errors
    ///
    /// The first field that is left.
    pub fn finish(self) -> Result<()> {
        let left = self.map.iter().find(|(field, value)| !field.starts_with('_') && !value.is_null());
        match left {
            Some((field, value)) => Err(self.refuse(field, value, "no such field, or null")),
            None => Ok(()),
        }
    }

    /// The error of a field that cannot be honoured.
    pub fn refuse(&self, field: &str, found: &Value, wanted: impl std::fmt::Display) -> Error {
        let mut shown = found.to_string();
        if shown.len() > 200 {
            shown.truncate(shown.floor_char_boundary(200));
            shown.push('…');
        }
        Error::config(self.component, field, shown, wanted)
    }
}

/// Equality that does not tell `1` from `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// Refuses a size that is zero or absurd, before anything is multiplied with it.
///
/// # Errors
///
/// If it is not from 1 to 2^20.
pub fn size(component: &'static str, field: &str, value: usize) -> Result<usize> {
    const MOST: usize = 1 << 20;
    if (1..=MOST).contains(&value) {
        return Ok(value);
    }
    Err(Error::config(component, field, value, format!("1 to {MOST}")))
}

/// Refuses a divisor that leaves a remainder.
///
/// # Errors
///
/// If `divisor` does not divide `value`.
pub fn divides(component: &'static str, field: &str, divisor: usize, value: usize) -> Result<()> {
    if divisor > 0 && value.is_multiple_of(divisor) {
        return Ok(());
    }
    Err(Error::config(component, field, divisor, format!("a divisor of {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(json: &str) -> Fields {
        Fields::parse("unet", "config.json", json.as_bytes()).unwrap()
    }

    #[test]
    fn an_unexplained_field_is_refused_by_name() {
        let error = fields(r#"{"_class_name": "X", "a": null, "fancy": 3}"#).finish().unwrap_err();
        assert_eq!(error.to_string(), "`unet` config field `fancy` is 3, wanted no such field, or null");
    }

    #[test]
    fn a_fixed_field_accepts_its_default_in_any_number_form() {
        let mut fields = fields(r#"{"scale": 1, "kind": "other"}"#);
        assert!(fields.fixed("scale", &[1.0.into()]).is_ok());
        let error = fields.fixed("kind", &["default".into()]).unwrap_err();
        assert_eq!(error.to_string(), "`unet` config field `kind` is \"other\", wanted \"default\" or null");
    }

    #[test]
    fn a_list_must_have_one_entry_for_each_block() {
        let mut fields = fields(r#"{"heads": [1, 2], "layers": 3}"#);
        assert_eq!(fields.per_block("layers", 1usize, 2).unwrap(), [3, 3]);
        assert!(fields.per_block("heads", 1usize, 3).is_err());
    }
}
