//! The answer: scores, a failure, or nothing that is an answer.

use serde_json::{Map, Value};

use super::VERSION;

/// What a line of a reward program, or the body of a server's response, says.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A score for each picture, NaN where there is none. Of version 1, the answer does not say which request it belongs to.
    Scores {
        /// The request that is answered.
        id: Option<u64>,
        /// The scores, in the order of the pictures.
        scores: Vec<f32>,
    },
    /// The reward could not do it.
    Failure {
        /// The request that is answered.
        id: Option<u64>,
        /// Why, in its own words.
        message: String,
    },
    /// An answer in a version of the protocol that is not spoken here.
    OtherVersion(String),
    /// Meant as an answer, and none.
    Malformed,
    /// Not meant as an answer.
    Chatter,
}

/// Reads what a reward says. Python writes NaN and Infinity, which JSON does not have: NaN is no score, as `null` is.
pub fn read_reply(text: &str) -> Reply {
    let text = text.trim();
    if let Some(scores) = read_list(text) {
        return Reply::Scores { id: None, scores };
    }
    match serde_json::from_str(&without_nan(text)) {
        Ok(Value::Object(answer)) => read_object(&answer),
        Ok(Value::Array(_) | Value::Number(_)) => Reply::Malformed,
        Err(_) if looks_like_numbers(text) => Reply::Malformed,
        _ => Reply::Chatter,
    }
}

/// The numbers of a list, the answer of version 1; counting them is left to who asked. `null` is read as NaN.
pub fn read_list(text: &str) -> Option<Vec<f32>> {
    let list = text.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    if list.is_empty() {
        return Some(Vec::new());
    }
    let number = |text: &str| if text == "null" { Some(f32::NAN) } else { text.parse().ok() };
    list.split(',').map(|text| number(text.trim())).collect()
}

fn read_object(answer: &Map<String, Value>) -> Reply {
    let id = answer.get("id").and_then(Value::as_u64);
    let is_answer = ["scores", "error", "protocol"].iter().any(|key| answer.contains_key(*key));
    match answer.get("protocol") {
        // A library may print objects of its own.
        _ if !is_answer => return Reply::Chatter,
        Some(version) if version.as_u64() != Some(VERSION) => return Reply::OtherVersion(version.to_string()),
        _ => {}
    }
    match (answer.get("error"), answer.get("scores")) {
        (Some(message), _) if !message.is_null() => {
            let message = message.as_str().map_or_else(|| message.to_string(), String::from);
            Reply::Failure { id, message }
        }
        (_, Some(Value::Array(scores))) => {
            let scores: Option<Vec<f32>> = scores.iter().map(read_score).collect();
            scores.map_or(Reply::Malformed, |scores| Reply::Scores { id, scores })
        }
        _ => Reply::Malformed,
    }
}

fn read_score(value: &Value) -> Option<f32> {
    if value.is_null() { Some(f32::NAN) } else { value.as_f64().map(|score| score as f32) }
}

/// The text with `null` where Python writes a number that is not finite.
fn without_nan(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(quote) = rest.find('"') {
        let (outside, string) = rest.split_at(quote);
        let end = end_of_string(string);
        out += &replaced(outside);
        out += &string[..end];
        rest = &string[end..];
    }
    out + &replaced(rest)
}

/// Where the string ends that `text` begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'"' if !escaped => return place + 1,
            b'\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

fn replaced(outside: &str) -> String {
    outside.replace("-Infinity", "null").replace("Infinity", "null").replace("NaN", "null")
}

/// What numbers are called where NumPy, PyTorch, JAX and TensorFlow print them: `np.float32(0.5)`, `tensor([0.5])`.
const PRINTED_AS: [&str; 6] = ["float16", "float32", "float64", "array", "tensor", "Array"];

/// A list as these print it, a number of it, or its last line: whoever waits for another line would wait for ever.
fn looks_like_numbers(text: &str) -> bool {
    let opened = text.trim_start_matches('[');
    let inside = match opened.split_once('(') {
        Some((name, rest)) if PRINTED_AS.contains(&name.rsplit('.').next().unwrap_or(name)) => rest,
        _ => opened,
    };
    let words = || inside.split(['[', ',', ' ', ']', ')']).filter(|word| !word.is_empty());
    // Python's `None` is what JSON calls `null`.
    let is_number = |word: &str| word == "None" || word.parse::<f64>().is_ok();
    let begins = inside.len() < text.len() && text.ends_with([']', ')']) && words().next().is_some_and(is_number);
    let ends = text.ends_with(']') && words().next().is_some() && words().all(is_number);
    begins || ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_answer_of_version_1() {
        assert_eq!(read_list("[1, -2.5e1]\n"), Some(vec![1.0, -25.0]));
        assert_eq!(read_list("[]"), Some(vec![]));
        assert!(read_list("[NaN]").unwrap()[0].is_nan());
        assert_eq!(read_list("[-Infinity]"), Some(vec![f32::NEG_INFINITY]));
        assert!(read_list("[0.5, null]").unwrap()[1].is_nan());
        for wrong in ["", "1.0", "[1,]", "[null null]", "[\"1\"]", "[[1]]", "loading model"] {
            assert_eq!(read_list(wrong), None, "{wrong}");
        }
    }

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let found = match read_reply(text) {
            Reply::Scores { id, scores } => format!("{id:?} {scores:?}"),
            Reply::Failure { id, message } => format!("{id:?} {message}"),
            other => format!("{other:?}"),
        };
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn an_object_is_the_answer_of_version_2() {
        check("[0.5]", "None [0.5]");
        check(r#"{"id": 3, "scores": [1, null, -2.5]}"#, "Some(3) [1.0, NaN, -2.5]");
        check(r#" {"protocol": 2, "id": 0, "scores": [NaN, -Infinity, Infinity]} "#, "Some(0) [NaN, NaN, NaN]");
        check(r#"{"id": 3, "error": "NaN in \"x\" [Infinity"}"#, "Some(3) NaN in \"x\" [Infinity");
        check(r#"{"id": 3, "error": null, "scores": []}"#, "Some(3) []");
        check(r#"{"id": 3, "error": {"a": 1}}"#, "Some(3) {\"a\":1}");
        check(r#"{"protocol": 3, "id": 3, "values": [1]}"#, "OtherVersion(\"3\")");
        check(r#"{"protocol": "v9"}"#, "OtherVersion(\"\\\"v9\\\"\")");
    }

    #[test]
    fn what_is_meant_as_an_answer_is_told_from_chatter() {
        for malformed in [
            "0.5",
            "[[1], [2]]",
            "[\"1\"]",
            "[0.25 0.5]",
            "[[0.1]\u{20}[0.2]]",
            "[np.float32(0.5), np.float32(0.25)]",
            "np.float64(0.5)",
            "[array(0.5, dtype=float32)]",
            "tensor([0.5000, 0.2500])",
            "[tensor(0.5000), tensor(0.2500)]",
            "tensor([[-1.5e-1]], device='cuda:0')",
            "Array([0.5], dtype=float32)",
            "[jax.numpy.float32(nan)]",
            "[None, 0.5]",
            // The last line of an array that NumPy has broken.
            " 0.25 0.5]",
            r#"{"scores": 0.5}"#,
            r#"{"scores": ["a"]}"#,
            r#"{"protocol": 2}"#,
        ] {
            check(malformed, "Malformed");
        }
        for chatter in [
            "",
            "Loading model…",
            "[INFO] ready",
            r#"{"step": 3}"#,
            "load checkpoint from a.pt",
            "true",
            "\"a\"",
            "epoch(3)",
            "tensor(s)",
            "loaded tensor(0.5)",
            "(0.5)",
            "0.5 of 1 done]",
        ] {
            check(chatter, "Chatter");
        }
    }
}
