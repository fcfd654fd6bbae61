//! Pretraining: stopped and gone on with, it ends with the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpo::core::RgbImage;
use ddpo::device::DeviceName;
use ddpo::pretrain::{AutoencoderConfig, DenoiserConfig, PretrainConfig, PretrainRequest, StageConfig, pretrain};
use ddpo::train::StopFlag;

/// Eight pictures of 16 pixels with captions.
fn pictures(parent: &Path) -> PathBuf {
    let folder = parent.join("pictures");
    std::fs::create_dir(&folder).unwrap();
    let mut lines = String::new();
    for i in 0..8u8 {
        let pixels = (0..16 * 16 * 3).map(|j| (j as u8).wrapping_mul(i + 1)).collect();
        let name = format!("{i}.png");
        ddpo::images::write_png(&folder.join(&name), &RgbImage::new(16, 16, pixels).unwrap()).unwrap();
        lines += &format!("{{\"file_name\": \"{name}\", \"text\": [\"a picture\", \"number {i}\"]}}\n");
    }
    std::fs::write(folder.join("metadata.jsonl"), lines).unwrap();
    folder
}

/// Four steps of each stage on networks as small as they may be.
fn recipe() -> PretrainConfig {
    let stage = StageConfig { steps: 4, batch_size: 4, learning_rate: 1e-3, warmup: 2, ema_decay: 0.9 };
    PretrainConfig {
        autoencoder: AutoencoderConfig { stage, channels: vec![8, 8], latent_channels: 4, kl_weight: 1e-4 },
        denoiser: DenoiserConfig {
            stage,
            channels: vec![16, 16],
            heads: 2,
            text_width: 16,
            text_layers: 1,
            text_length: 8,
            vocabulary: 520,
            ..DenoiserConfig::default()
        },
        checkpoint_every: 1,
        log_every: 1,
        ..PretrainConfig::default()
    }
}

/// Pretrains into `name`, until the step of the stage if one is given. Whether it is done.
fn run(parent: &Path, data: &Path, name: &str, resume: bool, until: Option<(&str, u64)>) -> bool {
    let (config, stop) = (recipe(), StopFlag::new());
    let request = PretrainRequest {
        data,
        out: &parent.join(name),
        run_directory: &parent.join(format!("{name}-run")),
        config: &config,
        resume,
        stop: &stop,
    };
    let mut observe = |event: &ddpo::pretrain::PretrainEvent| {
        if until == Some((event.kind, event.step)) {
            stop.stop();
        }
    };
    pretrain(request, &DeviceName::Cpu.open(), &mut observe).unwrap()
}

/// Every file of a model, and the metrics without what a clock measured.
fn product(parent: &Path, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let (root, mut files, mut folders) = (parent.join(name), BTreeMap::new(), vec![parent.join(name)]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => _ = files.insert(path.strip_prefix(&root).unwrap().into(), std::fs::read(&path).unwrap()),
            }
        }
    }
    let metrics = std::fs::read_to_string(parent.join(format!("{name}-run/metrics.jsonl"))).unwrap();
    let timeless = metrics.lines().map(|line| line.split(",\"seconds\"").next().unwrap().to_owned() + "\n");
    files.insert("metrics".into(), timeless.collect::<String>().into_bytes());
    files
}

#[test]
fn two_steps_and_two_more_are_four_in_either_stage() {
    let parent = tempfile::tempdir().unwrap();
    let data = pictures(parent.path());
    assert!(run(parent.path(), &data, "whole", false, None));
    let wanted = product(parent.path(), "whole");
    assert_eq!(String::from_utf8_lossy(&wanted[Path::new("metrics")]).lines().count(), 8);
    for (name, stage) in [("first", "autoencoder"), ("second", "denoiser")] {
        assert!(!run(parent.path(), &data, name, false, Some((stage, 2))));
        assert!(!parent.path().join(name).exists(), "a model that is not done");
        assert!(run(parent.path(), &data, name, true, None));
        assert!(product(parent.path(), name) == wanted, "{stage}");
    }
}
