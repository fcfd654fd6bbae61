//! A textual-inversion embedding, and the word of it in a prompt.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::embeddings::run(data));
