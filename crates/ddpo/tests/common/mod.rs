//! A pipeline with random weights, as small as the formats allow.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddpo::device::DeviceName;
use ddpo::models::{Pipeline, SchedulerConfig, Unet, UnetConfig, Vae, VaeConfig};
use ddpo::nn::{FileDtype, TextEncoder, TextEncoderConfig, Tokenizer, Weights};

/// Writes a diffusers directory of 16x16 images into `parent` and says where it is.
pub fn tiny_model(parent: &Path) -> PathBuf {
    let device = DeviceName::Cpu.open().unwrap();
    let captions = ["a cat", "a dog", "a horse", "two birds"];
    let tokenizer = Tokenizer::train(captions, 600, 8).unwrap();
    let text_encoder = TextEncoder::new(TextEncoderConfig::small(tokenizer.vocabulary_size(), 16, 1, 2, 8)).unwrap();
    let unet = Unet::new(UnetConfig::small(&[16, 16], 2, 4, [4, 4], 16)).unwrap();
    let vae = Vae::new(VaeConfig::small(&[8, 8, 8], 4, 16)).unwrap();
    let pipeline = Pipeline {
        unet_weights: Weights::init(unet.specs(), 1, &device),
        vae_weights: Weights::init(vae.specs(), 2, &device),
        text_weights: Weights::init(text_encoder.specs(), 3, &device),
        unet: Arc::new(unet),
        vae: Arc::new(vae),
        text_encoder: Arc::new(text_encoder),
        tokenizer,
        scheduler: SchedulerConfig::default(),
        clip_skip: 0,
    };
    let path = parent.join("tiny");
    pipeline.save(&path, FileDtype::F32).unwrap();
    path
}
