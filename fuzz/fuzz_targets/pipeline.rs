//! The JSON files of a pipeline: configurations, and an index of shards, which must name no file elsewhere.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::pipeline::run(data));
