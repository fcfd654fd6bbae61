//! Pretraining: stopped and gone on with, it ends with the same bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ddpo::LoadedModel;
use ddpo::core::{RgbImage, Scheduler};
use ddpo::device::DeviceName;
use ddpo::model::ModelSource;
use ddpo::pretrain::{
    AutoencoderConfig, Compositor, CompositorConfig, DecoderConfig, DenoiserConfig, Drawings, JudgeConfig,
    PretrainConfig, PretrainRequest, Split, StageConfig, pretrain,
};
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

/// Cut-outs of 16 pixels: two animals and a thing by two hands, of which one animal is held out in one of them.
fn cutouts(parent: &Path) -> PathBuf {
    let folder = parent.join("cutouts");
    std::fs::create_dir(&folder).unwrap();
    let mut lines = String::new();
    for (number, (noun, role)) in [("cat", "subject"), ("dog", "subject"), ("hat", "beside")].into_iter().enumerate() {
        for style in ["flat", "soft"] {
            let pixels: Vec<u8> = (0..16 * 16u32)
                .flat_map(|i| {
                    let inside = (i % 16).abs_diff(8) + (i / 16).abs_diff(8) < 4 + 2 * number as u32;
                    [60 * number as u8, style.len() as u8, 200, if inside { 255 } else { 0 }]
                })
                .collect();
            let name = format!("{style}-{noun}.png");
            image::save_buffer(folder.join(&name), &pixels, 16, 16, image::ColorType::Rgba8).unwrap();
            let split = if name == "soft-dog.png" { "held-out" } else { "train" };
            let row =
                format!("\"text\": \"{noun}\", \"role\": \"{role}\", \"style\": \"{style}\", \"split\": \"{split}\"");
            lines += &format!("{{\"file_name\": \"{name}\", {row}}}\n");
        }
    }
    std::fs::write(folder.join("metadata.jsonl"), lines).unwrap();
    folder
}

/// Four steps of each stage on networks as small as they may be.
fn recipe() -> PretrainConfig {
    let stage = StageConfig { steps: 4, batch_size: 4, learning_rate: 1e-3, warmup: 2, ema_decay: 0.9 };
    PretrainConfig {
        autoencoder: AutoencoderConfig { stage, channels: vec![8, 8], latent_channels: 4, kl_weight: 1e-4 },
        decoder: DecoderConfig { stage, noise: 0.3 },
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
        composition: CompositorConfig { size: 16, ..CompositorConfig::default() },
        judge: JudgeConfig {
            stage,
            channels: [8, 8, 8],
            composition: CompositorConfig { size: 16, outlined: 0.5, ..CompositorConfig::default() },
        },
        checkpoint_every: 1,
        log_every: 1,
        ..PretrainConfig::default()
    }
}

/// Pretrains into `name`, until the step of the stage if one is given. Whether it is done.
fn run(parent: &Path, data: &Path, name: &str, resume: bool, until: Option<(&str, u64)>) -> bool {
    run_recipe(&recipe(), parent, data, name, resume, until)
}

fn run_recipe(
    config: &PretrainConfig,
    parent: &Path,
    data: &Path,
    name: &str,
    resume: bool,
    until: Option<(&str, u64)>,
) -> bool {
    let stop = StopFlag::new();
    let request = PretrainRequest {
        data,
        out: &parent.join(name),
        run_directory: &parent.join(format!("{name}-run")),
        config,
        resume,
        stop: &stop,
    };
    let mut observe = |event: &ddpo::pretrain::PretrainEvent| {
        if until == Some((event.kind, event.step)) {
            stop.stop();
        }
    };
    pretrain(request, &DeviceName::Cpu.open().unwrap(), &mut observe).unwrap()
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
    assert_eq!(String::from_utf8_lossy(&wanted[Path::new("metrics")]).lines().count(), 12);
    for (name, stage) in [("first", "autoencoder"), ("second", "denoiser"), ("third", "decoder")] {
        assert!(!run(parent.path(), &data, name, false, Some((stage, 2))));
        assert!(!parent.path().join(name).exists(), "a model that is not done");
        assert!(run(parent.path(), &data, name, true, None));
        assert!(product(parent.path(), name) == wanted, "{stage}");
    }
}

#[test]
fn the_decoders_stage_changes_the_decoder_alone_and_the_model_begins_at_pure_noise() {
    let parent = tempfile::tempdir().unwrap();
    let data = pictures(parent.path());
    assert!(run(parent.path(), &data, "with", false, None));
    let mut without = recipe();
    without.decoder.stage.steps = 0;
    assert!(run_recipe(&without, parent.path(), &data, "without", false, None));
    let open = |name| LoadedModel::open(&ModelSource::Directory(parent.path().join(name)), DeviceName::Cpu).unwrap();
    let (with, without) = (open("with"), open("without"));
    let (with, without) = (with.pipeline(), without.pipeline());
    let values = |pipeline: &ddpo::models::Pipeline| {
        let tensors = pipeline.vae_weights.values().into_iter();
        tensors.map(|tensor| tensor.into_data().try_to_vec::<f32>().unwrap()).collect::<Vec<_>>()
    };
    let names: Vec<&str> = with.vae.specs().iter().map(|spec| spec.name.as_str()).collect();
    let (with_values, without_values) = (values(with), values(without));
    let changed = |part: &str| {
        let of_part = |i: &usize| names[*i].starts_with(part);
        (0..names.len()).filter(of_part).filter(|&i| with_values[i] != without_values[i]).count()
    };
    assert_eq!((changed("encoder."), changed("quant_conv.")), (0, 0));
    assert!(changed("decoder.") > 0 && changed("post_quant_conv.") > 0);
    let schedule = with.scheduler.schedule().unwrap();
    assert_eq!(schedule.alphas_cumprod().last(), Some(&0.0));
    assert_eq!(with.scheduler.ddim(2, 1.0).unwrap().timesteps()[0].0, 999.0);
}

#[test]
fn a_model_of_compositions_is_the_same_after_a_stop_in_any_stage_and_has_a_judge() {
    let parent = tempfile::tempdir().unwrap();
    let data = cutouts(parent.path());
    assert!(run(parent.path(), &data, "whole", false, None));
    let wanted = product(parent.path(), "whole");
    assert!(wanted.contains_key(Path::new("judge/model.safetensors")));
    for stage in ["autoencoder", "denoiser", "decoder", "judge"] {
        assert!(!run(parent.path(), &data, stage, false, Some((stage, 2))));
        assert!(run(parent.path(), &data, stage, true, None));
        assert!(product(parent.path(), stage) == wanted, "{stage}");
    }
    let loaded = LoadedModel::open(&ModelSource::Directory(parent.path().join("whole")), DeviceName::Cpu).unwrap();
    let judge = loaded.judge().unwrap();
    let config = judge.config();
    assert_eq!(
        (config.subjects.as_slice(), config.things.as_slice()),
        (&["cat".to_owned(), "dog".into()][..], &["hat".to_owned()][..])
    );
    let picture = RgbImage::new(16, 16, vec![7; 16 * 16 * 3]).unwrap();
    let prompts = ["a cat".to_owned(), "a lamp".into()];
    let verdicts = judge.as_asked(&[picture.clone(), picture.clone()], &prompts).unwrap();
    assert!(verdicts[0].is_some() && verdicts[1].is_none());
    // Of another size, a picture of one colour is the same picture.
    let wide = RgbImage::new(40, 9, vec![7; 40 * 9 * 3]).unwrap();
    let seen = judge.recognise(&[picture, wide]).unwrap();
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn compositions_show_what_they_say_and_nothing_that_is_held_out() {
    let parent = tempfile::tempdir().unwrap();
    let data = cutouts(parent.path());
    let config = CompositorConfig { size: 16, beside: 0.5, ..CompositorConfig::default() };
    let compositor = Compositor::new(Drawings::load(&data, Split::Train).unwrap(), config);
    let (drawn, nouns) = (compositor.sheet(0, 400), ["cat", "dog", "hat"]);
    assert!(drawn.iter().all(|drawn| drawn.caption.contains(nouns[drawn.subject])));
    assert!(drawn.iter().all(|drawn| drawn.beside.is_none_or(|beside| nouns[beside] == "hat")));
    let dogs: Vec<usize> = drawn.iter().filter(|drawn| drawn.subject == 1).map(|drawn| drawn.style).collect();
    assert!(!dogs.is_empty() && dogs.iter().all(|style| *style == 0), "the soft dog is held out");
    assert!(drawn.iter().all(|drawn| drawn.pixels.len() == 16 * 16 * 3 && drawn.pixels.iter().all(|x| x.abs() <= 1.0)));
    assert_eq!(compositor.sheet(0, 400)[7].pixels, drawn[7].pixels);
    assert!(Drawings::load(&data, Split::Unseen).is_err(), "a split without a drawing");
}
