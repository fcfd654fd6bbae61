//! JSON as Python's `json` writes it, which has words for numbers that are not finite.

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The words of Python's `json` for numbers that JSON does not have, the longest first.
const NOT_FINITE: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];

/// Parses the JSON file `name`. A number that is not finite, which Python writes as a bare word, is read as a text: it is no
/// number for any field that is computed with, and refused there by name.
///
/// # Errors
///
/// If it is no JSON, or none of a `T`.
pub fn parse_json<T: DeserializeOwned>(name: &str, json: &[u8]) -> Result<T> {
    let parsed = match serde_json::from_slice(json) {
        // Hardly any file has such a word, so that it is looked for where JSON proper ends.
        Err(error) if error.is_syntax() => serde_json::from_slice(&quote_not_finite(json)).map_err(|_| error),
        outcome => outcome,
    };
    parsed.map_err(|error| Error::Json { name: name.to_owned(), reason: error.to_string() })
}

/// Puts the words for numbers that are not finite in quotes, wherever they are outside of a text.
fn quote_not_finite(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + 16);
    let (mut rest, mut in_text) = (json, false);
    while let Some((&byte, tail)) = rest.split_first() {
        let word = NOT_FINITE.into_iter().find(|word| !in_text && rest.starts_with(word));
        if let Some(word) = word {
            out.push(b'"');
            out.extend(word);
            out.push(b'"');
            rest = &rest[word.len()..];
            continue;
        }
        out.push(byte);
        rest = tail;
        match byte {
            b'"' => in_text = !in_text,
            // What is escaped ends no text.
            b'\\' if in_text => {
                if let Some((&escaped, tail)) = rest.split_first() {
                    out.push(escaped);
                    rest = tail;
                }
            }
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(text: &str) -> Result<Value> {
        parse_json("a.json", text.as_bytes())
    }

    #[test]
    fn pythons_words_for_numbers_are_read_outside_of_texts_only() {
        let text = r#"{"a": -Infinity, "b": [NaN, Infinity,1], "NaN\"": "say \"NaN\" -Infinity"}"#;
        let wanted = json!({"a": "-Infinity", "b": ["NaN", "Infinity", 1], "NaN\"": "say \"NaN\" -Infinity"});
        assert_eq!(parse(text).unwrap(), wanted);
    }

    #[test]
    fn the_first_error_is_told_where_it_is() {
        let error = parse("{\"a\": 1,\n nonsense}").unwrap_err().to_string();
        assert_eq!(error, "cannot parse `a.json`: key must be a string at line 2 column 2");
        assert!(parse("{\"a\": NaNa}").is_err());
        assert!(parse("\"\\").is_err());
    }

    #[test]
    fn a_number_that_is_not_finite_is_none_for_a_field() {
        assert!(parse_json::<f64>("a.json", b"NaN").is_err());
    }
}
