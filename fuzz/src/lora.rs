//! An adapter file, of any of the formats that are read, with PEFT's settings before it or without.

use ddpo::device::DeviceName;
use ddpo::models::{Adapter, Lora};

use super::common::PIPELINE;

/// Tries one input.
pub fn run(bytes: &[u8]) {
    let device = DeviceName::Cpu.open().unwrap();
    // Settings end where a zero is; a file without one has none.
    let (config, file) = match bytes.strip_prefix(b"{").and_then(|_| bytes.iter().position(|byte| *byte == 0)) {
        Some(end) => (Some(bytes[..end].to_vec()), &bytes[end + 1..]),
        None => (None, bytes),
    };
    let adapter = Adapter::from_bytes("fuzz", file.to_vec(), config, &PIPELINE, &device);
    if let Ok(adapter) = adapter {
        adapter.attach(&PIPELINE, 0.7).unwrap();
    }
    let _ = Lora::from_bytes("fuzz", bytes.to_vec(), PIPELINE.unet.specs(), &device);
}
