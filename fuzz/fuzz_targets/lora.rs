//! An adapter file, of any of the formats that are read, with PEFT's settings before it or without.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::lora::run(data));
