//! The two files of a checkpoint, with checksums that fit, since no damage is behind one that does not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddpo_fuzz::checkpoint::run(data));
