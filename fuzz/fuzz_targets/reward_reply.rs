//! What a reward program answers: numbers, or nothing.
#![no_main]

use ddpo::rewards::exec::answer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    if let Some(values) = answer(line) {
        assert_eq!(values.len(), if values.is_empty() { 0 } else { line.matches(',').count() + 1 });
    }
});
