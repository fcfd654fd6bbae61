//! What a run survives: kills, a disk that is full or dying, signals, a directory that goes away, numbers that are not
//! finite. Every time its end has the reference run's bytes.
//!
//! `FAULT_KILLS=200` and `FAULT_WRITES=200` in the environment try as many; without them there are a few of each.

#[path = "../runs/mod.rs"]
mod runs;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod golden;
mod kill;
mod numbers;
#[cfg(unix)]
mod signals;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use runs::{ALGORITHMS, Outputs, PLACE, check_done, product, train};

/// Goes on with a run; one that was ended before there was anything to go on with starts.
fn resume(algorithm: &str, run: &Path) -> Output {
    if !run.join("config.toml").exists() {
        return train(algorithm, run).output().unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--resume", "--run-dir"]).arg(run).output().unwrap()
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
