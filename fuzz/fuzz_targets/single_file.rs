//! A safetensors file as a one-file checkpoint.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::single_file::run(data));
