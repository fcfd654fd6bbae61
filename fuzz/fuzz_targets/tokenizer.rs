//! The files of a tokenizer, and any text through what could be read of them.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::tokenizer::run(data));
