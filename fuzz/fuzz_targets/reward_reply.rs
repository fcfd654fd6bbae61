//! What a reward program answers: scores, a failure, or nothing.
#![no_main]

use ddpo::rewards::protocol::{Reply, read_list, read_reply};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Some(values) = read_list(line) {
        assert_eq!(values.len(), if values.is_empty() { 0 } else { line.matches(',').count() + 1 });
    }
    if let Reply::Scores { scores, .. } = read_reply(line) {
        assert!(scores.len() <= line.len());
    }
});
