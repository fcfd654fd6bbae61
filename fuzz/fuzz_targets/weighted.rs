//! A prompt with weights: its parts, and the pieces that a tokenizer makes of them.
#![no_main]

mod common;

use std::sync::LazyLock;

use ddpo::device::DeviceName;
use ddpo::models::Pipeline;
use ddpo::nn::parse_weights;
use libfuzzer_sys::fuzz_target;

static PIPELINE: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::load(&common::pipeline_with("none", b""), &DeviceName::Cpu.open()).unwrap());

fuzz_target!(|prompt: &str| {
    let tokenizer = &PIPELINE.tokenizer;
    if parse_weights(prompt).is_ok() {
        for piece in tokenizer.encode_pieces(prompt).unwrap() {
            assert_eq!((piece.ids.len(), piece.weights.len()), (tokenizer.max_length(), tokenizer.max_length()));
        }
    }
});
