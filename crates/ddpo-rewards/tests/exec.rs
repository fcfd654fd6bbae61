//! The reward `exec` against small shell programs, good and bad.
#![cfg(unix)]

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddpo_core::{Judge, PromptMetadata, RewardBatch, RgbImage};
use ddpo_rewards::exec::CommandLine;
use ddpo_rewards::{Exec, RewardContext, RewardRegistry, score_checked};

/// A command that runs a shell script, which is written into `folder`.
fn shell(folder: &Path, script: &str) -> CommandLine {
    std::fs::write(folder.join("reward.sh"), script).unwrap();
    CommandLine { program: "sh".into(), arguments: vec!["reward.sh".into()], directory: Some(folder.into()) }
}

/// Scores two images with a shell script; the answer or the error with its cause.
fn ask(script: &str, timeout: Duration) -> String {
    let folder = tempfile::tempdir().unwrap();
    let reward = Exec::new(shell(folder.path(), script)).with_timeout(timeout);
    score_twice(&Judge::Image(Box::new(reward)), 2)
}

fn score_twice(judge: &Judge, count: usize) -> String {
    let images = vec![RgbImage::new(2, 1, vec![9; 6]).unwrap(); count];
    let prompts: Vec<String> = ["cat", "dog"].iter().cycle().take(count).map(ToString::to_string).collect();
    let batch = RewardBatch::new(&images, &prompts);
    let mut answers = Vec::new();
    for _ in 0..2 {
        match score_checked(judge, &batch, count) {
            Ok(values) => answers.push(format!("{values:?}")),
            Err(error) => return error.source().map_or(error.to_string(), ToString::to_string),
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
fn metadata_is_handed_over_where_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("tag.sh"),
        "while read line; do case \"$line\" in *'\"metadata\":[{\"tag\":\"x\"}'*) \
        echo '[1]';; *metadata*) exit 3;; *) echo '[0]';; esac; done",
    )
    .unwrap();
    let known = [Arc::new(PromptMetadata::from_iter([("tag".to_owned(), "x".into())]))];
    let prompts = ["cat".to_owned()];
    let score = |metadata: bool| {
        let directory = folder.path().to_str().unwrap().into();
        let options = [("directory".to_owned(), directory), ("metadata".to_owned(), metadata.into())];
        let plan = RewardRegistry::default().plan("exec:sh tag.sh", &toml::Table::from_iter(options)).unwrap();
        // The probe, too, is about a prompt of the run.
        let judge = plan.open(&RewardContext::default().with_prompts(prompts.to_vec(), known.to_vec())).unwrap();
        let images = [RgbImage::new(2, 1, vec![9; 6]).unwrap()];
        score_checked(&judge, &RewardBatch::new(&images, &prompts).with_metadata(&known), 1).unwrap()
    };
    assert_eq!((score(true), score(false)), (vec![1.0], vec![0.0]));
}

#[test]
fn bad_answers_are_named() {
    check("read line; echo '[NaN, 1]'", "score sample 0 (prompt `cat`): NaN found, a finite number wanted");
    check("read line; echo '[1]'", "the reward `exec:sh reward.sh` gave 1 value for 2 images");
    for answer in ["0.5", "[0.5 0.25]", "[np.float32(0.5)]", "[[1], [2]]", r#"{"id": 0, "scores": 1}"#] {
        let expect = format!(
            "ask the reward program `sh reward.sh`: `{answer}` found, a JSON list of 2 numbers wanted, or an object with \
             them as `scores`"
        );
        check(&format!("read line; echo '{answer}'; sleep 30"), &expect);
    }
}

#[test]
fn what_is_no_answer_is_passed_over() {
    check(
        "echo 'Loading model…'; while read line; do echo; echo '[INFO] asked'; echo '[1, 2]'; done",
        "[1.0, 2.0] [1.0, 2.0]",
    );
    let answer = ask("read line; echo 'Loading model…'; echo; sleep 30", Duration::from_secs(1));
    assert_eq!(
        answer,
        "ask the reward program `sh reward.sh`: no answer within 1 s, it was stopped; the last line on its standard output, \
         `Loading model…`, is no answer"
    );
}

#[test]
fn an_answer_of_version_2_belongs_to_its_request() {
    let of = |id: &str, answer: &str| {
        let id = format!("id=$(echo \"$line\" | sed 's/.*\"id\":\\([0-9]*\\).*/\\1/'); id=$((id{id}));");
        format!("while read line; do {id} echo \"{{\\\"protocol\\\": 2, \\\"id\\\": $id, {answer}}}\"; done")
    };
    check(&of("", "\\\"scores\\\": [$id, 0.5]"), "[0.0, 0.5] [1.0, 0.5]");
    check(
        &of("+1", "\\\"scores\\\": [1, 2]"),
        "ask the reward program `sh reward.sh`: an answer to request 1 found, to request 0 wanted (`id` of both)",
    );
    check(&of("", "\\\"error\\\": \\\"no face\\\""), "ask the reward program `sh reward.sh`: it says `no face`");
    check(
        r#"read line; echo '{"protocol": 3, "values": [1, 2]}'"#,
        "ask the reward program `sh reward.sh`: an answer of version 3 of the protocol found, version 2 or 1 wanted, which \
         docs/reference/rewards.md describes",
    );
}

#[test]
fn whoever_asks_meanwhile_is_answered_by_another_process() {
    let folder = tempfile::tempdir().unwrap();
    // Each waits until the other one runs: a process that was asked twice would wait for ever.
    let script =
        "while read line; do echo x >> asked; while [ $(wc -l < asked) -lt 2 ]; do sleep 0.05; done; echo '[1]'; done";
    let reward = Exec::new(shell(folder.path(), script)).with_timeout(Duration::from_secs(20));
    let judge = Judge::Image(Box::new(reward));
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..2).map(|_| scope.spawn(|| score_twice(&judge, 1))).collect();
        asking.into_iter().for_each(|asking| assert_eq!(asking.join().unwrap(), "[1.0] [1.0]"));
    });
}

#[test]
fn a_second_line_is_not_the_next_answer() {
    // The pipe gives both lines at once, so that the second is there before the next question is.
    check(
        "read line; printf '[1, 2]\\n[3, 4]\\n'; read line; echo '[5, 6]'; sleep 30",
        "ask the reward program `sh reward.sh`: the answer `[3, 4]` found before it was asked, one answer a request wanted",
    );
}

#[test]
fn a_dead_program_is_named_with_its_status() {
    check("read line; exit 3", "ask the reward program `sh reward.sh`: it ended (exit status: 3) before it answered");
}

#[test]
fn a_program_that_hangs_is_stopped() {
    let start = Instant::now();
    let answer = ask("read line; sleep 30", Duration::from_secs(1));
    assert_eq!(answer, "ask the reward program `sh reward.sh`: no answer within 1 s, it was stopped");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_program_that_does_not_read_is_stopped() {
    let (folder, start) = (tempfile::tempdir().unwrap(), Instant::now());
    let reward = Exec::new(shell(folder.path(), "sleep 30")).with_timeout(Duration::from_secs(1));
    // Far more than a pipe holds.
    let answer = score_twice(&Judge::Image(Box::new(reward)), 4000);
    assert_eq!(answer, "ask the reward program `sh reward.sh`: the request was not read within 1 s, it was stopped");
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[track_caller]
fn check_open(folder: &Path, text: &str, expect: &str) {
    let options = toml::Table::from_iter([("directory".to_owned(), folder.to_str().unwrap().into())]);
    let opened = RewardRegistry::default().plan(text, &options).unwrap().open(&RewardContext::default());
    assert_eq!(opened.map_or_else(|error| error.to_string(), |judge| judge.name().to_owned()), expect);
}

#[test]
fn what_cannot_work_is_known_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, script: &str| std::fs::write(folder.path().join(name), script).unwrap();
    write("my reward.sh", "while read line; do echo '[1]'; done");
    write("dies.sh", "exit 3");
    check_open(folder.path(), "exec:sh 'my reward.sh'", "exec:sh 'my reward.sh'");
    check_open(
        folder.path(),
        "exec:sh dies.sh",
        "ask the reward program `sh dies.sh`: it ended (exit status: 3) before it answered",
    );
    check_open(folder.path(), "exec:./no-such-program", "start the reward program `./no-such-program`");
    check_open(
        folder.path(),
        "exec:dies.sh",
        "start the reward program `dies.sh`: not found in PATH, where a name without a slash is looked for (did you mean \
         `./dies.sh`?)",
    );
}
