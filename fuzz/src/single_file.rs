//! A safetensors file as a one-file checkpoint.

use std::sync::Arc;

use ddpo::device::DeviceName;
use ddpo::models::{Pipeline, SingleFile};
use ddpo::nn::{Bytes, TensorFile};

/// Tries one input.
pub fn run(bytes: &[u8]) {
    let Ok(file) = TensorFile::open("file", vec![Bytes::Shared(Arc::from(bytes))]) else { return };
    let Ok(checkpoint) = SingleFile::new(file) else { return };
    let _ = checkpoint.is_version_2();
    let _ = Pipeline::load_single_file(
        &checkpoint,
        &super::common::pipeline_with("none", &[]),
        &DeviceName::Cpu.open().unwrap(),
    );
}
