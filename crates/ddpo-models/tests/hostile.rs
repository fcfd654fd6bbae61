//! Loaders under damaged and hostile files: an error or a model, and never a panic, a hang or an allocation by what a file
//! claims.
//!
//! Files of a tiny pipeline are damaged at random, one at a time. `HOSTILE_SECONDS=600` in the environment keeps at it for
//! ten minutes; without it a fixed number of damages is tried.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use burn::tensor::Device;
use ddpo_models::{Lora, Pipeline, SingleFile, required_files};
use ddpo_nn::{Bytes, ModelFiles, TensorFile, shards_of};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

type Files = BTreeMap<String, Arc<[u8]>>;

fn fixtures() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// The files of a pipeline, its UNet in shards so that an index is among them.
fn files(kind: &str) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(fixtures().join(kind)).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_file() {
            files.insert(name, fs::read(entry.path()).unwrap().into());
            continue;
        }
        for file in fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
            let path = format!("{name}/{}", file.file_name().into_string().unwrap());
            files.insert(path, fs::read(file.path()).unwrap().into());
        }
    }
    let weights = files.remove("unet/diffusion_pytorch_model.safetensors").unwrap();
    files.insert("unet/part.safetensors".into(), weights);
    let index = br#"{"metadata": {}, "weight_map": {"conv_in.weight": "part.safetensors"}}"#;
    files.insert("unet/diffusion_pytorch_model.safetensors.index.json".into(), index.as_slice().into());
    files
}

/// Below `limit`, which is at least 1.
fn below(rng: &mut ChaCha8Rng, limit: usize) -> usize {
    (rng.next_u64() % limit.max(1) as u64) as usize
}

/// Damages that a parser is likely to trip over.
fn damage(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    const TEXTS: [&str; 16] = [
        "0",
        "-1",
        "1e308",
        "18446744073709551615",
        "1048577",
        "null",
        "[]",
        "{}",
        "\"\"",
        "[[[[",
        "true",
        "0.5",
        "\u{0}",
        "\"..\"",
        "[9999999,9999999]",
        "\"F64\"",
    ];
    let at = below(rng, bytes.len());
    match below(rng, 8) {
        0 => bytes.truncate(at),
        1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (at % 8)),
        2 => bytes.iter_mut().skip(at).take(8).for_each(|byte| *byte = 0xff),
        // The length of a safetensors header, and then some.
        3 => {
            let length = (1u64 << below(rng, 64)).to_le_bytes();
            bytes.iter_mut().zip(length).for_each(|(byte, new)| *byte = new);
        }
        4 => {
            let end = (at + below(rng, 40)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = (at + below(rng, 200)).min(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(at..at, copy);
        }
        // A number or a word of a text gives way to another.
        _ => {
            let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || b".-\"".contains(byte);
            let start = bytes[..at].iter().rposition(|byte| !is_word(byte)).map_or(0, |i| i + 1);
            let end = bytes[at..].iter().position(|byte| !is_word(byte)).map_or(bytes.len(), |i| at + i);
            bytes.splice(start..end, TEXTS[below(rng, TEXTS.len())].bytes());
        }
    }
}

/// More than any damage may cost.
const PATIENCE: Duration = Duration::from_secs(5);

fn timed<T>(work: impl Fn() -> T) -> (T, Duration) {
    let start = Instant::now();
    (work(), start.elapsed())
}

#[test]
fn damaged_files_are_errors_or_models() {
    let seconds = std::env::var("HOSTILE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let device = Device::default();
    let (mut tried, mut loaded, mut slowest) = (0u64, 0u64, Duration::ZERO);
    let adapter = fs::read(fixtures().join("sd1_lora").join(Lora::FILE_NAME)).unwrap();
    let specs = Pipeline::load(&ModelFiles::Memory(Arc::new(files("sd1"))), &device).unwrap().unet.specs().clone();
    let whole = [files("sd1"), files("sd2")];
    loop {
        let mut rng = ChaCha8Rng::seed_from_u64(tried);
        let files = &whole[below(&mut rng, 2)];
        // One in eight is an adapter.
        let name = files.keys().nth(below(&mut rng, files.len() + files.len() / 8));
        let mut bytes = name.map_or_else(|| adapter.clone(), |name| files[name].to_vec());
        for _ in 0..=below(&mut rng, 3) {
            damage(&mut bytes, &mut rng);
        }
        let load = || match name {
            None => Lora::from_bytes("adapter", bytes.clone(), &specs, &device).map(drop),
            Some(name) => {
                let mut files = files.clone();
                files.insert(name.clone(), bytes.clone().into());
                Pipeline::load(&ModelFiles::Memory(Arc::new(files)), &device).map(drop)
            }
        };
        let (mut outcome, mut took) = timed(load);
        if took > PATIENCE {
            // It may have been the machine, which was doing something else; a file is slow twice.
            println!("file {tried} took {took:?}");
            (outcome, took) = timed(load);
        }
        slowest = slowest.max(took);
        loaded += u64::from(outcome.is_ok());
        tried += 1;
        if end.map_or(tried >= 600, |end| Instant::now() >= end) {
            break;
        }
    }
    println!("{tried} damaged files, {loaded} of them still a model, the slowest after {slowest:?}");
    assert!(slowest < PATIENCE, "a damaged file took {slowest:?}");
    assert!(loaded > 0 && loaded < tried);
}

/// The header is damaged only, as no value of a tensor is looked at but for being finite.
#[test]
fn damaged_one_file_checkpoints_are_errors_or_models() {
    let device = Device::default();
    let (mut refused, mut taken) = (0, 0);
    for (number, kind) in ["sd1", "sd2"].into_iter().cycle().take(200).enumerate() {
        let whole = fs::read(fixtures().join(format!("{kind}_single.safetensors"))).unwrap();
        let end = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
        let (mut header, mut rng) = (whole[8..end].to_vec(), ChaCha8Rng::seed_from_u64(number as u64));
        damage(&mut header, &mut rng);
        let bytes = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &whole[end..]].concat();
        let loaded = TensorFile::open("file", vec![Bytes::Shared(bytes.into())])
            .and_then(SingleFile::new)
            .and_then(|file| Pipeline::load_single_file(&file, &ModelFiles::Directory(fixtures().join(kind)), &device));
        if loaded.is_ok() { taken += 1 } else { refused += 1 }
    }
    println!("{refused} refused, {taken} taken");
    assert!(refused > 100, "{refused}");
}

#[test]
fn damaged_indices_name_no_file_elsewhere() {
    let index = br#"{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}"#;
    for seed in 0..2000 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut bytes = index.to_vec();
        damage(&mut bytes, &mut rng);
        for name in shards_of("unet/x.index.json", &bytes).unwrap_or_default() {
            assert!(name.starts_with("unet/") && name.matches('/').count() == 1 && !name.contains(".."), "{name}");
        }
    }
    assert!(required_files(&["../model_index.json".to_owned()], None).is_err());
}

/// A config may ask for more than any machine has: it is refused before anything of that size is made.
#[test]
fn a_config_of_absurd_size_is_refused_at_once() {
    let absurd = |name: &str, from: &str, to: &str| {
        let mut files = files("sd1");
        let text = String::from_utf8(files[name].to_vec()).unwrap();
        assert!(text.contains(from), "{text}");
        files.insert(name.into(), text.replace(from, to).into_bytes().into());
        let start = Instant::now();
        let error = Pipeline::load(&ModelFiles::Memory(Arc::new(files)), &Device::default()).unwrap_err();
        assert!(start.elapsed() < Duration::from_secs(2), "{error} after {:?}", start.elapsed());
        error.to_string()
    };
    let error = absurd("unet/config.json", "\"cross_attention_dim\": 16", "\"cross_attention_dim\": 1048576");
    assert!(error.contains("has shape"), "{error}");
    // The later of two fields of one name counts.
    let deep = "\"transformer_layers_per_block\": 100, \"layers_per_block\": 100";
    let error = absurd("unet/config.json", "\"transformer_layers_per_block\": 1", deep);
    assert!(error.contains("`layers_per_block`"), "{error}");
    let error = absurd("text_encoder/config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 100000");
    assert!(error.contains("`num_hidden_layers` is 100000"), "{error}");
}
