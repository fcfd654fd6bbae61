//! What a run survives: kills, a disk that is full or dying, signals, a directory that goes away, numbers that are not
//! finite. Every time its end has the reference run's bytes.
//!
//! `FAULT_KILLS=200` and `FAULT_WRITES=200` in the environment try as many; without them there are a few of each.

#[path = "../../../ddpo/tests/common/mod.rs"]
mod common;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod golden;
mod kill;
mod numbers;
#[cfg(unix)]
mod signals;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// A working directory with a tiny model in it, the same for all tests, and the reference runs.
static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_model(directory.path());
    write_pairs(directory.path());
    directory
});

const ALGORITHMS: [&str; 10] =
    ["ddpo-is", "ddpo-sf", "rwr", "rwr-sparse", "nft", "ram", "pso", "d3po", "diffusion-dpo", "lcd"];

/// Three pairs of pictures, the brighter one preferred, and the file that says so.
fn write_pairs(folder: &Path) {
    let line = |number: u8| {
        for (name, grey) in [("win", 150 + number), ("lose", 50 + number)] {
            let picture = ddpo::RgbImage::new(8, 8, vec![grey; 8 * 8 * 3]).unwrap();
            ddpo::images::write_png(&folder.join(format!("{name}-{number}.png")), &picture).unwrap();
        }
        format!("{{\"prompt\": \"a cat\", \"win\": \"win-{number}.png\", \"lose\": \"lose-{number}.png\"}}\n")
    };
    std::fs::write(folder.join("pairs.jsonl"), (0..3).map(line).collect::<String>()).unwrap();
}

/// Three epochs with everything a run writes, an evaluation and a checkpoint after each. What decides a byte is said here, and
/// is nobody's default.
fn train(algorithm: &str, run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--model", "tiny", "--epochs", "3", "--algorithm", algorithm]);
    command.arg("--run-dir").arg(run);
    for setting in [
        "sample.steps=2",
        "sample.batch-size=4",
        "sample.batches-per-epoch=1",
        "sample.guidance=3.0",
        "train.batch-size=2",
        "train.gradient-checkpointing=false",
        "train.clip-range=2e-3",
        "train.learning-rate=1e-2",
        "advantage.kind=per-prompt",
        "rwr.batch-size=4",
        "rwr.updates-per-round=2",
        "rwr.min-count=2",
        "forward.noisings=2",
        "forward.old-decay=0.7",
        "forward.old-ramp=0.3",
        "pairs.clip-range=0.1",
        "eval.every=1",
        "eval.count=2",
        "checkpoint.every=1",
        "track.csv=true",
    ] {
        command.args(["--set", setting]);
    }
    let own: &[&str] = match algorithm {
        "pso" => &["pairs.beta=20.0", "sample.scheduler=consistency"],
        "d3po" => &["pairs.beta=2.0", "pairs.clip=one-sided"],
        "lcd" => {
            &["sample.scheduler=consistency", "sample.spacing=trailing", "distill.teacher-steps=2", "distill.grid=8"]
        }
        "diffusion-dpo" => &["pairs.beta=50.0", "pairs.path=pairs.jsonl"],
        _ => &[],
    };
    for setting in own {
        command.args(["--set", setting]);
    }
    // The score function's update is of all an epoch's batches.
    if algorithm != "ddpo-sf" {
        command.args(["--set", "train.accumulation=1"]);
    }
    command
}

/// Goes on with a run; one that was ended before there was anything to go on with starts.
fn resume(algorithm: &str, run: &Path) -> Output {
    if !run.join("config.toml").exists() {
        return train(algorithm, run).output().unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--resume", "--run-dir"]).arg(run).output().unwrap()
}

/// What a run has made, by name.
type Outputs = BTreeMap<PathBuf, Vec<u8>>;

fn product(run: &Path) -> Outputs {
    let read = |name: PathBuf| std::fs::read(run.join(&name)).ok().map(|bytes| (name, bytes));
    let samples = (0..=3).map(|epoch| format!("samples/epoch_{epoch:04}.png").into());
    let adapters = ["", "best"].map(|folder| Path::new(folder).join("pytorch_lora_weights.safetensors"));
    let mut product: Outputs = samples.chain(adapters).filter_map(read).collect();
    for name in ["metrics.jsonl", "metrics.csv"] {
        let text = std::fs::read_to_string(run.join(name)).unwrap_or_default();
        product.insert(name.into(), timeless(&text).into_bytes());
    }
    product
}

/// Metrics without what a clock measured, and the machine that the first line names.
fn timeless(text: &str) -> String {
    let line = |line: &str| {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(line) else {
            return if line.contains(",time/") { String::new() } else { line.to_owned() + "\n" };
        };
        let first = value["kind"] == "run";
        let differs = |key: &str| {
            let of_run = first && ["started", "machine"].contains(&key);
            of_run || key.ends_with("_seconds") || key == "images_per_second"
        };
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !differs(key));
        }
        format!("{value}\n")
    };
    text.lines().map(line).collect()
}

/// What an undisturbed run makes, and how long it takes.
struct Reference {
    product: Outputs,
    took: Duration,
}

/// The reference of each algorithm.
static REFERENCES: LazyLock<[Reference; ALGORITHMS.len()]> = LazyLock::new(|| {
    ALGORITHMS.map(|algorithm| {
        let run = PLACE.path().join(format!("reference-{algorithm}"));
        let start = Instant::now();
        check_done(&train(algorithm, &run).output().unwrap());
        let (product, took) = (product(&run), start.elapsed());
        assert_eq!(product.len(), 8, "{:?}", product.keys());
        Reference { product, took }
    })
});

#[track_caller]
fn check_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[track_caller]
fn check_same(run: &Path, reference: &Reference, what: &str) {
    let found = product(run);
    for (name, wanted) in &reference.product {
        assert!(found.get(name) == Some(wanted), "{what}: {} differs", name.display());
    }
}

/// So many tries as the environment says, or `few`.
fn tries(variable: &str, few: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(few)
}

/// A fixed sequence of numbers (splitmix64): a failure is named by its seed.
fn random(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
