//! What ddpo and a reward of the user's own say to each other, over pipes and over HTTP alike.
//!
//! `docs/reference/rewards.md` is the protocol in words. Version 2 is written here; version 1, whose answer is a bare list, is
//! understood.

mod reply;

pub use reply::{Reply, read_list, read_reply};

use std::sync::Arc;

use ddpo_core::PromptMetadata;
use serde_json::{Value, json};

/// The version that is spoken. A reward may answer in this one or in version 1.
pub const VERSION: u64 = 2;

/// The request `id` about images, paths or data, and the prompts that they were made for; with what is known of each prompt, an
/// object each, where that is asked for.
pub fn request(id: u64, images: Vec<Value>, prompts: &[String], metadata: Option<&[Arc<PromptMetadata>]>) -> Value {
    let mut request = json!({ "protocol": VERSION, "id": id, "images": images, "prompts": prompts });
    if let Some(metadata) = metadata {
        let known = metadata.iter().map(|known| PromptMetadata::clone(known));
        let all = known.chain(std::iter::repeat(PromptMetadata::new())).take(prompts.len());
        request["metadata"] = all.map(Value::Object).collect();
    }
    request
}

/// The beginning of a text that somebody else wrote, for a message.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_there_where_it_is_asked_for() {
        let prompts = ["cat", "dog"].map(String::from);
        let known = [Arc::new(PromptMetadata::from_iter([("tag".to_owned(), json!([1]))])), Arc::default()];
        let metadata = |metadata| request(0, Vec::new(), &prompts, metadata).get("metadata").map(Value::to_string);
        assert_eq!(metadata(None), None);
        assert_eq!(metadata(Some(&known)).unwrap(), "[{\"tag\":[1]},{}]");
        assert_eq!(metadata(Some(&[])).unwrap(), "[{},{}]");
    }
}
