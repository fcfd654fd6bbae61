//! Questions about a picture, over the chat API.

use ddpo_core::RgbImage;
use serde_json::{Value, json};

use crate::web::{Endpoint, WebFailure, data_url};
use crate::{Error, Result};

/// A vision-language model behind a chat API.
pub struct Chat {
    pub endpoint: Endpoint,
    /// What the server calls the model.
    pub model: String,
    /// The longest answer, in tokens.
    pub max_tokens: u64,
}

impl Chat {
    /// What the model answers, the likeliest words each time.
    pub fn ask(&self, image: &RgbImage, question: &str) -> Result<String> {
        let picture = data_url(image).map_err(|source| Error::Encode { source: source.into() })?;
        let content = json!([
            { "type": "text", "text": question },
            { "type": "image_url", "image_url": { "url": picture } },
        ]);
        let request = json!({
            "model": self.model,
            "messages": [{ "role": "user", "content": content }],
            "temperature": 0,
            "max_tokens": self.max_tokens,
        });
        let body = self.endpoint.post(&request)?;
        read_answer(&body).ok_or_else(|| {
            let found = self.endpoint.shown(body.as_bytes());
            let failure =
                WebFailure::Answer { found, wanted: "a chat completion with choices[0].message.content".to_owned() };
            Error::Web { url: self.endpoint.url().to_owned(), failure }
        })
    }
}

/// The text of the first choice; servers may send it in parts.
fn read_answer(body: &str) -> Option<String> {
    let body: Value = serde_json::from_str(body).ok()?;
    match body.pointer("/choices/0/message/content")? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
            Some(texts.collect::<String>().trim().to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::read_answer;

    #[test]
    fn an_answer_is_the_text_of_the_first_choice() {
        let of =
            |content: &str| read_answer(&format!("{{\"choices\": [{{\"message\": {{\"content\": {content}}}}}]}}"));
        assert_eq!(of("\" A fox. \\n\"").as_deref(), Some("A fox."));
        assert_eq!(
            of("[{\"type\": \"text\", \"text\": \"A fox\"}, {\"text\": \" runs\"}]").as_deref(),
            Some("A fox runs")
        );
        assert_eq!(of("\"\"").as_deref(), Some(""));
        assert_eq!(of("null"), None);
        for wrong in ["", "<html>", "{\"error\": {\"message\": \"no\"}}", "{\"choices\": []}"] {
            assert_eq!(read_answer(wrong), None, "{wrong}");
        }
    }
}
