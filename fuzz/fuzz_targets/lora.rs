//! An adapter file, of any of the formats that are read.
#![no_main]

mod common;

use std::sync::LazyLock;

use ddpo::device::DeviceName;
use ddpo::models::{Lora, Pipeline};
use libfuzzer_sys::fuzz_target;

static PIPELINE: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::load(&common::pipeline_with("none", b""), &DeviceName::Cpu.open()).unwrap());

fuzz_target!(|bytes: &[u8]| {
    let _ = Lora::from_bytes("fuzz", bytes.to_vec(), PIPELINE.unet.specs(), &DeviceName::Cpu.open());
});
