//! A prompt with weights: its parts, and the pieces that a tokenizer makes of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::weighted::run(data));
