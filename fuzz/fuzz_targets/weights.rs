//! A safetensors file, as the weights of a text encoder and as a checkpoint's tensors.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::weights::run(data));
