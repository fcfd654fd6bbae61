//! Numbers that are not finite, as a user meets them: from a reward program.

use super::*;

/// A program that answers a request of four pictures with these numbers, and the first one, of one picture, with a number.
#[cfg(unix)]
fn reward(name: &str, numbers: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    let path = PLACE.path().join(name);
    let script = format!(
        "#!/bin/sh\nwhile read -r line; do case $line in *0003.png*) echo '{numbers}';; *) echo '[0]';; esac; done\n"
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("exec:{}", path.display())
}

#[cfg(unix)]
#[test]
fn a_reward_that_is_not_finite_ends_the_run_or_is_left_out() {
    let (run, reward) = (PLACE.path().join("nan"), reward("nan.sh", "[0.5, NaN, 0.25, 1.0]"));
    let output = train("ddpo-is", &run).args(["--reward", &reward, "--set", "eval.every=0"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("error: the reward is NaN in epoch 1, sample 1, prompt `"), "{text}");
    assert!(text.contains("`, wanted a finite number\nhint: its batch is in non-finite/"), "{text}");
    assert_eq!(output.status.code(), Some(1));
    let dump = std::fs::read(run.join("non-finite/epoch_0001.safetensors")).unwrap();
    let header = String::from_utf8_lossy(&dump[8..2000.min(dump.len())]).into_owned();
    assert!(header.contains("images") && header.contains("rewards") && header.contains("\\\"samples\\\":[0,1,2,3]"));

    // The same run goes on without what ended it.
    let mut command = Command::new(env!("CARGO_BIN_EXE_ddpo"));
    command.current_dir(PLACE.path()).args(["train", "--resume", "--set", "train.non-finite=skip", "--run-dir"]);
    let output = command.arg(&run).output().unwrap();
    check_done(&output);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("warning: the reward is NaN in epoch 3, sample 1"), "{text}");
    let metrics = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.matches("\"left_out\":1}").count(), 3, "{metrics}");
}
