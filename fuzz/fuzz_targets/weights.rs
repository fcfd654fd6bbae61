//! A safetensors file, as the weights of a text encoder and as a checkpoint's tensors.
#![no_main]

mod common;

use ddpo::device::DeviceName;
use ddpo::models::Pipeline;
use ddpo::train::NamedTensor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tensors) = NamedTensor::deserialize(bytes) {
        NamedTensor::serialize(&tensors).expect("tensors that were read can be written");
    }
    let files = common::pipeline_with("text_encoder/model.safetensors", bytes);
    let _ = Pipeline::load(&files, &DeviceName::Cpu.open());
});
