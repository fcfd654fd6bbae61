//! What ddpo and a reward of the user's own say to each other, over pipes and over HTTP alike.
//!
//! `docs/reference/rewards.md` is the protocol in words. Version 2 is written here; version 1, whose answer is a bare list, is
//! understood.

mod reply;

pub use reply::{Reply, read_list, read_reply};

use serde_json::{Value, json};

/// The version that is spoken. A reward may answer in this one or in version 1.
pub const VERSION: u64 = 2;

/// The request `id` about images, paths or data, and the prompts that they were made for.
pub fn request(id: u64, images: Vec<Value>, prompts: &[String]) -> Value {
    json!({ "protocol": VERSION, "id": id, "images": images, "prompts": prompts })
}

/// The beginning of a text that somebody else wrote, for a message.
pub fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(LONGEST).collect()
}
