//! The JSON files of a pipeline: configurations, and an index of shards, which must name no file elsewhere.

use ddpo::device::DeviceName;
use ddpo::models::{Pipeline, required_files};
use ddpo::nn::shards_of;

const FILES: [&str; 6] = [
    "model_index.json",
    "scheduler/scheduler_config.json",
    "text_encoder/config.json",
    "unet/config.json",
    "vae/config.json",
    "unet/diffusion_pytorch_model.safetensors.index.json",
];

/// Tries one input.
pub fn run(data: &[u8]) {
    // A digit says which file, and what follows is its content.
    let [which, bytes @ ..] = data else { return };
    let name = FILES[usize::from(which.wrapping_sub(b'0')) % FILES.len()];
    for shard in shards_of("unet/x.index.json", bytes).unwrap_or_default() {
        assert!(shard.starts_with("unet/") && shard.matches('/').count() == 1 && !shard.contains(".."), "{shard}");
    }
    let names: Vec<String> = String::from_utf8_lossy(bytes).lines().map(String::from).collect();
    let _ = required_files(&names, None);
    let _ = Pipeline::load(&super::common::pipeline_with(name, bytes), &DeviceName::Cpu.open().unwrap());
}
