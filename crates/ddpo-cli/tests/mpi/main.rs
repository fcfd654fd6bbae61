//! Runs of several processes under `mpirun`: the same bytes as of one, whoever dies.
//!
//! Without a launcher on the machine there is nothing to start them with, and each test says so. Those that are ignored take minutes.

#[path = "../runs/mod.rs"]
mod runs;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod disk;
mod launcher;
mod losses;
mod shapes;

use std::path::Path;
use std::process::Command;

use launcher::{check_ended_well, mpirun};
use runs::{ALGORITHMS, Outputs, PLACE, check_done, product, train};

/// A run with four batches to sample and four passes an update, so that there is something to share out.
fn shared_out(algorithm: &str, run: &Path) -> Command {
    let mut command = train(algorithm, run);
    for setting in ["sample.batch-size=2", "sample.batches-per-epoch=4", "eval.count=5", "run.threads=1"] {
        command.args(["--set", setting]);
    }
    if algorithm != "ddpo-sf" {
        command.args(["--set", "train.accumulation=2"]);
    }
    command
}

/// Goes on with a run.
fn resume(run: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--resume"]).arg(run);
    command
}

#[track_caller]
fn check_same(run: &Path, wanted: &Outputs, what: &str) {
    let found = product(run);
    for (name, bytes) in wanted {
        assert!(found.get(name) == Some(bytes), "{what}: {} differs", name.display());
    }
}

/// What `ranks` processes make of a run, and that one process makes the same.
#[track_caller]
fn check(algorithm: &str, sizes: &[usize]) {
    let of = |name: &str| PLACE.path().join(format!("{algorithm}-{name}"));
    let alone = of("alone");
    check_done(&shared_out(algorithm, &alone).output().unwrap());
    let wanted = product(&alone);
    assert_eq!(wanted.len(), 8, "{:?}", wanted.keys());
    for ranks in sizes {
        let run = of(&ranks.to_string());
        let Some(command) = mpirun(*ranks, &shared_out(algorithm, &run)) else { return };
        check_ended_well(command);
        check_same(&run, &wanted, &format!("{algorithm}, {ranks} ranks"));
    }
}

#[test]
fn two_ranks_make_what_one_process_makes() {
    for algorithm in ALGORITHMS {
        check(algorithm, &[2]);
    }
}

#[test]
#[ignore = "takes minutes"]
fn any_number_of_ranks_makes_what_one_process_makes() {
    for algorithm in ALGORITHMS {
        check(algorithm, &[3, 4, 8]);
    }
}
