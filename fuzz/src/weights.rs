//! A safetensors file, as the weights of a text encoder and as a checkpoint's tensors.

use ddpo::device::DeviceName;
use ddpo::models::Pipeline;
use ddpo::train::NamedTensor;

/// Tries one input.
pub fn run(bytes: &[u8]) {
    if let Ok(tensors) = NamedTensor::deserialize(bytes) {
        NamedTensor::serialize(&tensors).expect("tensors that were read can be written");
    }
    let files = super::common::pipeline_with("text_encoder/model.safetensors", bytes);
    let _ = Pipeline::load(&files, &DeviceName::Cpu.open().unwrap());
}
