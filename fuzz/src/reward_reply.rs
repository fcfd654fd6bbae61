//! What a reward program answers: scores, a failure, or nothing.

use ddpo::rewards::protocol::{Reply, read_list, read_reply};

/// Tries one input.
pub fn run(data: &[u8]) {
    let Ok(line) = std::str::from_utf8(data) else { return };
    if let Some(values) = read_list(line) {
        assert_eq!(values.len(), if values.is_empty() { 0 } else { line.matches(',').count() + 1 });
    }
    if let Reply::Scores { scores, .. } = read_reply(line) {
        assert!(scores.len() <= line.len());
    }
}
