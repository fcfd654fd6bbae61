//! SIGKILL at random instants.

use std::process::Stdio;
use std::time::Duration;

use super::*;

#[test]
fn a_run_killed_anywhere_ends_with_the_reference_bytes() {
    let (mut early, mut late) = (0, 0);
    let kills = tries("FAULT_KILLS", ALGORITHMS.len() as u64);
    // The part of the reference's time that a run takes now: another load of the machine must not put all kills after the
    // end, or before the beginning.
    let mut pace = 1.0;
    for seed in 0..kills {
        let which = seed as usize % ALGORITHMS.len();
        let (algorithm, reference) = (ALGORITHMS[which], &REFERENCES[which]);
        let run = PLACE.path().join(format!("killed-{seed}"));
        let instant = reference.took.mul_f64(pace * random(seed) as f64 / u64::MAX as f64);
        let mut child = train(algorithm, &run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(instant);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        early += u64::from(!run.join("checkpoints").exists());
        late += u64::from(status.success());
        pace *= if status.success() { 0.8 } else { 1.05 };
        check_done(&resume(algorithm, &run));
        check_same(&run, reference, &format!("seed {seed}, {algorithm}, killed after {instant:?}"));
        std::fs::remove_dir_all(&run).unwrap();
    }
    println!("{kills} kills, {early} of them before the first checkpoint, {late} after the end");
}

#[test]
fn a_run_killed_again_and_again_gets_there() {
    let (algorithm, reference) = ("rwr-sparse", &REFERENCES[3]);
    let run = PLACE.path().join("killed-again");
    let mut patience = reference.took / 4;
    let mut kills = 0;
    loop {
        let mut command = train(algorithm, &run);
        if run.join("config.toml").exists() {
            command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
            command.current_dir(PLACE.path()).args(["train", "--resume", "--run-dir"]).arg(&run);
        }
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(patience);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success());
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        // A machine that is busy takes longer than it did for the reference.
        patience += Duration::from_millis(20) + patience / 8;
    }
    println!("{kills} kills");
    check_same(&run, reference, "killed again and again");
}
