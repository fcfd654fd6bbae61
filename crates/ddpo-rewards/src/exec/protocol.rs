//! The two documents of the protocol: the request and the answer.

use std::path::PathBuf;

use serde_json::json;

/// The request line about the pictures in these files.
pub fn request(images: &[PathBuf], prompts: &[String]) -> String {
    format!("{}\n", json!({ "images": images, "prompts": prompts }))
}

/// The numbers of an answer line; NaN and wrong counts are left to who asked.
///
/// Python prints NaN and Infinity, which JSON does not have. They are read all the same, so that the error can name the
/// sample; `null` is no number either, and read as NaN.
pub fn answer(line: &str) -> Option<Vec<f32>> {
    let list = line.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    if list.is_empty() {
        return Some(Vec::new());
    }
    let number = |text: &str| if text == "null" { Some(f32::NAN) } else { text.parse().ok() };
    list.split(',').map(|text| number(text.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_lists_of_numbers() {
        assert_eq!(answer("[1, -2.5e1]\n"), Some(vec![1.0, -25.0]));
        assert_eq!(answer("[]"), Some(vec![]));
        assert!(answer("[NaN]").unwrap()[0].is_nan());
        assert_eq!(answer("[-Infinity]"), Some(vec![f32::NEG_INFINITY]));
        assert!(answer("[0.5, null]").unwrap()[1].is_nan());
        for wrong in ["", "1.0", "[1,]", "[null null]", "[\"1\"]", "[[1]]", "loading model"] {
            assert_eq!(answer(wrong), None, "{wrong}");
        }
    }
}
