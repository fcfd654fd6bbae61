//! Questions whose right answers are known.

use ddpo_core::PromptMetadata;
use serde_json::Value;

/// Where a template has the prompt.
pub const PROMPT: &str = "{prompt}";

/// A question about a picture, and what a right answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    pub answer: String,
}

impl Question {
    /// Whether an answer is right: it has the words of the right one, in any case and next to each other; numbers may be written
    /// in digits.
    pub fn is_answered_by(&self, answer: &str) -> bool {
        let (wanted, found) = (words(&self.answer), words(answer));
        !wanted.is_empty() && found.windows(wanted.len()).any(|found| found == wanted)
    }
}

/// The questions that the list of prompts has for a prompt (`questions` and `answers`, as ddpo-pytorch's metadata are), or one of `template`,
/// to be answered by yes.
pub fn questions(prompt: &str, metadata: Option<&PromptMetadata>, template: &str) -> Vec<Question> {
    let texts = |key: &str| -> Option<Vec<String>> {
        let list = metadata?.get(key)?.as_array()?;
        list.iter()
            .map(|text| text.as_str().map(String::from).or_else(|| text.as_i64().map(|n| n.to_string())))
            .collect()
    };
    match (texts("questions"), texts("answers")) {
        (Some(questions), Some(answers)) if questions.len() == answers.len() && !questions.is_empty() => {
            questions.into_iter().zip(answers).map(|(text, answer)| Question { text, answer }).collect()
        }
        _ => vec![Question { text: template.replace(PROMPT, prompt), answer: "yes".to_owned() }],
    }
}

/// Whether metadata have questions that cannot be asked.
pub fn broken(metadata: &PromptMetadata) -> bool {
    let count = |key: &str| metadata.get(key).map(|list| list.as_array().map_or(0, Vec::len));
    let is_text = |value: &Value| value.is_string() || value.is_i64();
    let all_texts = |key: &str| metadata.get(key).and_then(Value::as_array).is_none_or(|list| list.iter().all(is_text));
    match (count("questions"), count("answers")) {
        (None, None) => false,
        (questions, answers) => {
            questions != answers || questions == Some(0) || !all_texts("questions") || !all_texts("answers")
        }
    }
}

/// The words of a text in small letters, numbers in digits.
fn words(text: &str) -> Vec<String> {
    const NUMBERS: [&str; 13] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];
    let text = text.to_lowercase();
    let words = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty());
    words
        .map(|word| match NUMBERS.iter().position(|number| *number == word) {
            Some(number) => number.to_string(),
            None => word.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(wanted: &str, answer: &str, expect: bool) {
        let question = Question { text: String::new(), answer: wanted.to_owned() };
        assert_eq!(question.is_answered_by(answer), expect, "{wanted} in {answer}");
    }

    #[test]
    fn an_answer_is_right_if_it_has_the_words() {
        check("yes", "Yes, there are three foxes.", true);
        check("yes", "No.", false);
        check("yes", "yesterday", false);
        check("three", "There are 3 foxes", true);
        check("3", "Three.", true);
        check("three", "thirteen", false);
        check("polar bears", "Two Polar Bears!", true);
        check("polar bears", "bears that are polar", false);
        check("", "anything", false);
    }

    fn metadata(value: Value) -> PromptMetadata {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn questions_come_from_the_list_of_prompts_or_from_the_template() {
        let known = metadata(json!({ "questions": ["How many?", "Of what?"], "answers": [3, "fox"] }));
        let asked = questions("three foxes", Some(&known), "Is this {prompt}?");
        assert_eq!(asked[0], Question { text: "How many?".into(), answer: "3".into() });
        assert_eq!(asked.len(), 2);
        for other in [None, Some(&metadata(json!({ "tag": 1 })))] {
            let asked = questions("three foxes", other, "Is this {prompt}?");
            assert_eq!(asked, [Question { text: "Is this three foxes?".into(), answer: "yes".into() }]);
        }
        assert!(!broken(&known) && !broken(&metadata(json!({ "tag": 1 }))));
        for wrong in [
            json!({ "questions": ["a"] }),
            json!({ "questions": ["a"], "answers": [] }),
            json!({ "questions": "a", "answers": ["b"] }),
            json!({ "questions": [["a"]], "answers": ["b"] }),
            json!({ "questions": [], "answers": [] }),
        ] {
            assert!(broken(&metadata(wrong.clone())), "{wrong}");
        }
    }
}
