//! Runs small enough to be ended again and again: a tiny model, every algorithm, and what such a run has made.

#[path = "../../../ddpo/tests/common/mod.rs"]
mod common;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub mod fault;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// A working directory with a tiny model in it, the same for all tests, and the reference runs.
pub static PLACE: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    common::tiny_model(directory.path());
    write_pairs(directory.path());
    directory
});

/// Every algorithm, and two tasks of one.
pub const ALGORITHMS: [&str; 11] =
    ["ddpo-is", "ddpo-sf", "rwr", "rwr-sparse", "nft", "ram", "pso", "d3po", "diffusion-dpo", "lcd", TASKS];

/// The run of several tasks.
pub const TASKS: &str = "tasks";

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
pub fn train(algorithm: &str, run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    let name = if algorithm == TASKS { "ddpo-is" } else { algorithm };
    command.current_dir(PLACE.path()).args(["train", "--model", "tiny", "--epochs", "3", "--algorithm", name]);
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
        TASKS => &[
            "task=[{ name = \"small\" }, { name = \"large\", reward = \"jpeg-incompressibility\", \
             prompts = { kind = \"list\", values = [\"a cat\", \"a dog\"] }, advantage = { kind = \"group\", group-size = 2 } }]",
            "advantage.min-count=1",
        ],
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

/// What a run has made, by name.
pub type Outputs = BTreeMap<PathBuf, Vec<u8>>;

pub fn product(run: &Path) -> Outputs {
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

/// Metrics without what a clock measured, and what the first line says of the machine and of the command, which ends a run or goes on
/// with it.
fn timeless(text: &str) -> String {
    let line = |line: &str| {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(line) else {
            return if line.contains(",time/") { String::new() } else { line.to_owned() + "\n" };
        };
        let first = value["kind"] == "run";
        let differs = |key: &str| {
            let of_run = first && ["started", "machine", "command", "epochs"].contains(&key);
            of_run || key.ends_with("_seconds") || key == "images_per_second"
        };
        if let Some(object) = value.as_object_mut() {
            object.retain(|key, _| !differs(key));
        }
        format!("{value}\n")
    };
    text.lines().map(line).collect()
}

#[track_caller]
pub fn check_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
