//! Signals, and a run directory that is not what it was.

use std::process::{Child, Stdio};

use super::*;

/// A run of many epochs, once it has done some.
fn long_run(run: &Path, more: &[&str]) -> Child {
    let mut command = train("ddpo-is", run);
    command.args(["--set", "run.epochs=100000", "--set", "track.csv=false"]).args(more);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| std::fs::read_to_string(run.join("metrics.jsonl")).is_ok_and(|text| text.contains("\"epoch\":2")));
    child
}

#[track_caller]
fn wait_for(condition: impl Fn() -> bool) {
    for _ in 0..6000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing after a minute");
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Goes on to three epochs more than are done, and says how many checkpoints there are then.
fn goes_on(run: &Path) {
    let checkpoints = std::fs::read_dir(run.join("checkpoints")).unwrap().map(|entry| entry.unwrap().file_name());
    let epochs = checkpoints.filter_map(|name| name.to_str()?.strip_prefix("epoch_")?.parse::<u64>().ok());
    let last = epochs.max().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--resume", "--epochs", &(last + 3).to_string(), "--run-dir"]);
    check_done(&command.arg(run).output().unwrap());
    assert!(run.join(format!("checkpoints/epoch_{:04}", last + 3)).exists());
}

#[test]
fn either_signal_ends_the_step_and_leaves_a_checkpoint() {
    for name in ["-INT", "-TERM"] {
        let run = PLACE.path().join(format!("signal{name}"));
        let child = long_run(&run, &[]);
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("to go on: ddpo train --resume"), "{name}: {text}");
        assert_eq!(output.status.code(), Some(1), "{name}");
        goes_on(&run);
    }
}

#[test]
fn a_second_signal_ends_a_run_that_cannot_listen() {
    let run = PLACE.path().join("twice");
    // A reward that thinks for minutes: the run looks at its flag again only when it has answered.
    let (script, asked) = (PLACE.path().join("slow.sh"), PLACE.path().join("asked"));
    std::fs::write(&script, format!("read -r line\n: > {}\nsleep 300\n", asked.display())).unwrap();
    let mut command = train("ddpo-is", &run);
    command.args(["--reward", &format!("exec:sh {}", script.display()), "--set", "eval.every=0"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| asked.exists());
    let start = Instant::now();
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(300));
    signal(&child, "-INT");
    let output = child.wait_with_output().unwrap();
    // Not the exit code of a run whose reward died, which it does first, and nothing about that.
    assert_eq!(output.status.code(), Some(130));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("Ctrl-C again") && !text.contains("error"), "{text}");
    assert!(start.elapsed() < Duration::from_secs(120), "{:?}", start.elapsed());
}

#[test]
fn a_second_process_is_refused_by_name_and_changes_nothing() {
    let run = PLACE.path().join("locked");
    let child = long_run(&run, &[]);
    let output = resume("ddpo-is", &run);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains(&format!("is in use by process {}", child.id())), "{text}");
    assert_eq!(output.status.code(), Some(1));
    signal(&child, "-INT");
    child.wait_with_output().unwrap();
    goes_on(&run);
}

#[test]
fn a_directory_that_is_deleted_is_made_again_for_the_product() {
    let run = PLACE.path().join("deleted");
    let child = long_run(&run, &["--set", "run.epochs=40"]);
    std::fs::rename(&run, PLACE.path().join("elsewhere")).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // The adapter and checkpoints are there; what was recorded before is not, and no report can be made.
    assert!(text.contains("is no run: it has no metrics.jsonl"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    assert!(run.join("pytorch_lora_weights.safetensors").exists() && run.join("checkpoints/epoch_0040").exists());
    goes_on(&PLACE.path().join("elsewhere"));
}

#[test]
fn a_file_where_the_directory_should_be_is_named() {
    let run = PLACE.path().join("file/run");
    std::fs::write(PLACE.path().join("file"), "").unwrap();
    let output = train("ddpo-is", &run).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("cannot create directory") && text.contains("file/run"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}
