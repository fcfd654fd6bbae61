//! The `exec:` reward against small shell programs, good and bad.
#![cfg(unix)]

use std::error::Error;
use std::time::{Duration, Instant};

use ddpo_core::{Reward, RewardBatch, RgbImage};
use ddpo_rewards::{Checked, Exec};

/// Scores two images with a shell script; the answer or the error with its cause.
fn ask(script: &str, timeout: Duration) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reward.sh");
    std::fs::write(&path, script).unwrap();
    let reward = Exec::new(&format!("sh {}", path.display())).unwrap().with_timeout(timeout);
    score_twice(&Checked::new(reward))
}

fn score_twice(reward: &dyn Reward) -> String {
    let images = vec![RgbImage::new(2, 1, vec![9; 6]).unwrap(); 2];
    let prompts = ["cat".to_owned(), "dog".to_owned()];
    let batch = RewardBatch { images: &images, prompts: &prompts };
    let mut answers = Vec::new();
    for _ in 0..2 {
        match reward.score(&batch) {
            Ok(values) => answers.push(format!("{values:?}")),
            Err(error) => return error.source().unwrap().to_string(),
        }
    }
    answers.join(" ")
}

#[track_caller]
fn check(script: &str, expect: &str) {
    assert_eq!(ask(script, Duration::from_secs(20)), expect);
}

#[test]
fn one_process_answers_batch_after_batch() {
    check("n=0; while read line; do n=$((n+1)); echo \"[$n, 0.5]\"; done", "[1.0, 0.5] [2.0, 0.5]");
}

#[test]
fn the_request_names_pictures_that_exist_and_prompts() {
    let script = r#"while read line; do
        png=$(echo "$line" | sed 's/.*\["\([^"]*0000.png\)".*/\1/')
        case "$line" in *'"prompts":["cat","dog"]'*) prompts=1;; *) prompts=0;; esac
        if [ -s "$png" ]; then echo "[1, $prompts]"; else echo "[0, $prompts]"; fi
    done"#;
    check(script, "[1.0, 1.0] [1.0, 1.0]");
}

#[test]
fn bad_answers_are_named() {
    check("read line; echo '[NaN, 1]'", "score sample 0 (prompt `cat`): NaN found, a finite number wanted");
    check("read line; echo '[1]'", "score 2 images: 1 values found, 2 wanted");
    check(
        "read line; echo 'Loading model…'",
        "ask the reward program `sh`: `Loading model…` found, a JSON list of 2 numbers wanted",
    );
}

#[test]
fn a_dead_program_is_named_with_its_status() {
    check("read line; exit 3", "ask the reward program `sh`: it ended (exit status: 3) before it answered");
}

#[test]
fn a_program_that_hangs_is_stopped() {
    let start = Instant::now();
    let answer = ask("read line; sleep 30", Duration::from_secs(1));
    assert_eq!(answer, "ask the reward program `sh`: no answer within 1 seconds, it was stopped");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_missing_program_is_named() {
    let message = score_twice(&Exec::new("./no-such-program").unwrap());
    assert_eq!(message, "start the reward program `./no-such-program`");
}
