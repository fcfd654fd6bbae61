//! A configuration file: what parses and is checked has a plan and a document that reads back as itself.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::config::run(data));
