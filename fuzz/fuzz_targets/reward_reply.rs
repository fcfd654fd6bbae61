//! What a reward program answers: scores, a failure, or nothing.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::reward_reply::run(data));
