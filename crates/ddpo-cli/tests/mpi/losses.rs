//! Ranks that die, and signals.

use std::time::{Duration, Instant};

use super::launcher::{Launched, ranks_of, start};
use super::*;

/// Epochs enough that a run is still at work when it is disturbed.
fn long(run: &Path) -> Command {
    let mut command = shared_out("ddpo-is", run);
    for setting in ["run.epochs=30", "checkpoint.keep=0", "eval.every=10"] {
        command.args(["--set", setting]);
    }
    command
}

/// Waits until the run has a checkpoint after its third epoch.
#[track_caller]
fn wait_for_epochs(run: &Path, launched: &mut Launched) {
    let start = Instant::now();
    while !run.join("checkpoints/epoch_0003").is_dir() {
        assert!(!launched.is_over() && start.elapsed() < Duration::from_secs(120), "the run has no third epoch");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// Whom a signal meets.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Writer,
    Other,
    Launcher,
}

#[test]
fn whoever_dies_or_is_asked_to_stop_all_end_and_the_run_goes_on_from_its_checkpoint() {
    let of = |name: &str| PLACE.path().join(format!("losses-{name}"));
    if mpirun(1, &Command::new("true")).is_none() {
        return;
    }
    let whole = of("whole");
    check_done(&long(&whole).output().unwrap());
    let wanted = product(&whole);
    for (name, whom, ranks_after) in [
        ("-KILL", Whom::Writer, 1),
        ("-KILL", Whom::Other, 2),
        ("-TERM", Whom::Writer, 2),
        ("-INT", Whom::Other, 3),
        ("-INT", Whom::Launcher, 2),
    ] {
        let what = format!("{name} to {whom:?}");
        let run = of(&what);
        let mut launched = start(mpirun(2, &long(&run)).unwrap());
        wait_for_epochs(&run, &mut launched);
        let ranks = ranks_of(&run);
        assert_eq!(ranks.len(), 2, "{what}");
        let victim = match whom {
            Whom::Writer => ranks[0],
            Whom::Other => ranks[1],
            Whom::Launcher => launched.id(),
        };
        signal(name, victim);
        let (status, words) = launched.end();
        assert!(!status.success() && !words.contains("panicked"), "{what}: {words}");
        assert_eq!(ranks_of(&run), [0; 0], "{what}");
        if matches!((name, whom), ("-TERM" | "-INT", Whom::Writer | Whom::Other)) {
            assert!(words.contains("to go on: ddpo train --resume "), "{what}: {words}");
        }
        check_ended_well(mpirun(ranks_after, &resume(&run)).unwrap());
        check_same(&run, &wanted, &what);
    }
}

#[test]
fn a_run_that_cannot_begin_ends_on_every_rank() {
    let run = PLACE.path().join("never");
    for words in [["--model", "no/such/directory"], ["--reward", "exec:/no/such/program"]] {
        let mut command = shared_out("ddpo-is", &run);
        let Some(command) = mpirun(3, command.args(words)) else { return };
        let (status, words) = start(command).end();
        assert!(!status.success() && words.contains("error: "), "{words}");
        assert!(!run.exists());
    }
}

#[test]
fn a_dry_run_says_once_what_would_be_done() {
    let run = PLACE.path().join("dry");
    let Some(command) = mpirun(2, shared_out("ddpo-is", &run).arg("--dry-run")) else { return };
    let (status, words) = start(command).end();
    assert!(status.success() && words.matches("prompts ").count() == 1, "{words}");
    assert!(!run.exists());
}
