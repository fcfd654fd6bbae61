//! Calls to the file system that fail, by a library which is loaded before the C library's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use super::{PLACE, check_done};

/// No space left on the device.
pub const ENOSPC: u64 = 28;
/// An error of the device.
pub const EIO: u64 = 5;

/// The library, compiled from its source.
static PRELOAD: LazyLock<PathBuf> = LazyLock::new(|| {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/preload.rs");
    let library = PLACE.path().join("libpreload.so");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "cdylib", "--crate-name", "preload", "-O", "-C", "panic=abort"]);
    check_done(&command.arg(source).arg("-o").arg(&library).output().unwrap());
    library
});

/// The run `command` of the directory `run`, of which `count` calls (all, for 0) fail from the `at`-th on.
pub fn faulty(mut command: Command, run: &Path, at: u64, count: u64, errno: u64) -> Command {
    command.env("LD_PRELOAD", &*PRELOAD).env("FAULT_UNDER", run);
    for (name, number) in [("FAULT_AT", at), ("FAULT_COUNT", count), ("FAULT_ERRNO", errno)] {
        command.env(name, number.to_string());
    }
    command
}

/// How many calls the run `command` of the directory `run` makes.
pub fn calls_of(command: Command, run: &Path) -> u64 {
    let report = run.with_extension("calls");
    check_done(&faulty(command, run, 0, 0, 0).env("FAULT_REPORT", &report).output().unwrap());
    std::fs::read_to_string(report).unwrap().parse().unwrap()
}
