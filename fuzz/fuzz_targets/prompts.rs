//! A prompt file, as a text, JSON Lines or a table: its prompts, and their split into those to train on and those held out.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::prompts::run(data));
