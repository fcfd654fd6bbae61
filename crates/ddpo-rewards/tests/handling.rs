//! How rewards are asked, whatever their kind: again where they fail, several at once, and about no picture twice. Against servers
//! that fail in every way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ddpo_core::{Assessment, Judge, RewardBatch, RgbImage};
use ddpo_rewards::{RewardContext, RewardRegistry};
use ddpo_testing::{HttpReply, HttpServer};
use serde_json::{Value, json};

/// The length of each prompt, which is the right answer.
fn lengths(body: &str) -> String {
    let request: Value = serde_json::from_str(body).unwrap();
    let scores: Vec<usize> = request["prompts"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().len()).collect();
    json!({ "id": request["id"], "scores": scores }).to_string()
}

/// A server that answers its probe well, does what `fault` says at its first failing requests, and is good from then on.
fn faulty(faults: usize, fault: impl Fn(&str) -> HttpReply + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request| match request.number {
        number if (1..=faults).contains(&number) => fault(&request.body),
        _ => HttpReply::ok(lengths(&request.body)),
    })
}

fn open(server: &HttpServer, options: &str) -> Judge {
    let options = format!("backoff = 0.01\n{options}").parse().unwrap();
    let plan = RewardRegistry::default().plan(&server.url("/"), &options).unwrap();
    plan.open(&RewardContext::default()).unwrap()
}

fn pictures(count: usize) -> (Vec<RgbImage>, Vec<String>) {
    let images = (0..count).map(|i| RgbImage::new(1, 1, vec![i as u8; 3]).unwrap()).collect();
    (images, (0..count).map(|i| "x".repeat(i + 1)).collect())
}

fn assess(judge: &Judge, count: usize) -> Result<Assessment, String> {
    let (images, prompts) = pictures(count);
    let said = judge.assess(&RewardBatch::new(&images, &prompts), count);
    said.map_err(|error| std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
}

/// Every way in which a server fails, and the words for it.
fn faults() -> Vec<(HttpReply, &'static str)> {
    vec![
        (HttpReply::Hang, "no whole answer within 1 s"),
        (HttpReply::Late(Duration::from_secs(2), "[1, 2, 3]".to_owned()), "no whole answer within 1 s"),
        (HttpReply::ok("Traceback (most recent call last):"), "`Traceback (most recent call last):` found"),
        (HttpReply::ok("[1]"), "number of values is 1, wanted 3"),
        (HttpReply::ok("[1, 2, 3, 4]"), "number of values is 4, wanted 3"),
        (HttpReply::BreakOff("[1, 2, 3]".to_owned()), "the answer broke off"),
        (HttpReply::Close, "the answer broke off"),
        (HttpReply::Answer(503, Vec::new(), "loading".to_owned()), "it answered with status 503: `loading`"),
        (HttpReply::ok("{\"error\": \"out of memory\"}"), "it says `out of memory`"),
    ]
}

#[test]
fn what_fails_is_asked_again_and_ends_as_without_faults() {
    for (fault, words) in faults() {
        let server = faulty(2, move |_| fault.clone());
        let said = assess(&open(&server, "timeout = 1"), 3).unwrap();
        assert_eq!((said.values, said.left_out), (vec![1.0, 2.0, 3.0], Vec::new()), "{words}");
        assert_eq!(said.warnings.len(), 2, "{:?}", said.warnings);
        assert!(
            said.warnings[0].contains(words) && said.warnings[0].ends_with("asked again after 0.0 s (1 of 5)"),
            "{said:?}",
            said = said.warnings
        );
    }
}

#[test]
fn what_never_answers_ends_the_run_or_is_left_out() {
    for (fault, words) in faults() {
        let again = fault.clone();
        let server = faulty(usize::MAX, move |_| again.clone());
        let error = assess(&open(&server, "timeout = 1\nretries = 1"), 3).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
        let server = faulty(usize::MAX, move |_| fault.clone());
        let said = assess(&open(&server, "timeout = 1\nretries = 0\non-failure = \"skip-sample\""), 3).unwrap();
        assert!(said.values.iter().all(|value| value.is_nan()), "{words}");
        assert_eq!(said.left_out, [0, 1, 2], "{words}");
        let warning = &said.warnings[0];
        assert!(warning.contains(words) && warning.ends_with("; 3 samples are left out"), "{words}: {warning}");
    }
}

#[test]
fn a_server_that_does_not_read_is_one_that_fails() {
    let server = HttpServer::deaf_after(1, |request| HttpReply::ok(lengths(&request.body)));
    let error = assess(&open(&server, "timeout = 1\nretries = 1"), 3).unwrap_err();
    assert!(error.contains("no whole answer within 1 s"), "{error}");
}

#[test]
fn only_the_pictures_without_a_score_are_asked_about_again() {
    let server = faulty(1, |_| HttpReply::ok("[1, null, 3]"));
    let said = assess(&open(&server, ""), 3).unwrap();
    assert_eq!(said.values, [1.0, 2.0, 3.0]);
    assert!(said.warnings[0].starts_with("1 image got no score; asked again"), "{:?}", said.warnings);
    let last: Value = serde_json::from_str(&server.requests()[2].body).unwrap();
    assert_eq!(last["prompts"], json!(["xx"]));
    // Whoever asks decides about what stays without a score, unless the reward's policy does.
    let server = faulty(usize::MAX, |body| HttpReply::ok(lengths(body).replace('2', "null")));
    let said = assess(&open(&server, "retries = 1"), 3).unwrap();
    assert!(said.values[1].is_nan() && said.left_out.is_empty());
    let server = faulty(usize::MAX, |body| HttpReply::ok(lengths(body).replace('2', "null")));
    let said = assess(&open(&server, "retries = 1\non-failure = \"skip-sample\""), 3).unwrap();
    assert_eq!(said.left_out, [1]);
}

#[test]
fn what_a_server_refuses_for_good_is_not_asked_again() {
    let server = faulty(usize::MAX, |_| HttpReply::Answer(404, Vec::new(), String::new()));
    assert!(assess(&open(&server, ""), 3).unwrap_err().contains("status 404"));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_server_says_when_it_wants_to_be_asked_again() {
    let server = faulty(1, |_| HttpReply::Answer(429, vec!["retry-after: 1".to_owned()], String::new()));
    let start = Instant::now();
    assess(&open(&server, ""), 1).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[test]
fn several_requests_at_once_keep_their_order() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, peak) = (now.clone(), most.clone());
    let server = HttpServer::start(move |request| {
        peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        // Early requests take longest.
        std::thread::sleep(Duration::from_millis(200_u64.saturating_sub(20 * request.number as u64)));
        running.fetch_sub(1, Ordering::SeqCst);
        HttpReply::ok(lengths(&request.body))
    });
    let judge = open(&server, "batch-size = 2\nconcurrency = 3");
    most.store(0, Ordering::SeqCst);
    let said = assess(&judge, 9).unwrap();
    assert_eq!(said.values, (1..=9).map(|n| n as f32).collect::<Vec<_>>());
    assert_eq!(server.requests().len(), 1 + 5);
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[test]
fn a_cache_is_asked_first_and_outlives_the_reward() {
    let folder = tempfile::tempdir().unwrap();
    let options = format!("cache = \"{}\"", folder.path().display());
    let server = faulty(0, |_| HttpReply::Close);
    assert_eq!(assess(&open(&server, &options), 2).unwrap().values, [1.0, 2.0]);
    // Of three pictures two are known, by picture and prompt.
    let judge = open(&server, &options);
    assert_eq!(assess(&judge, 3).unwrap().values, [1.0, 2.0, 3.0]);
    let last: Value = serde_json::from_str(&server.requests().last().unwrap().body).unwrap();
    assert_eq!(last["prompts"], json!(["xxx"]));
    let before = server.requests().len();
    assert_eq!(assess(&judge, 3).unwrap().values, [1.0, 2.0, 3.0]);
    assert_eq!(server.requests().len(), before);
}

/// What a shell script says of three pictures, with options.
fn scripted(folder: &Path, script: &str, options: &str) -> Result<Assessment, String> {
    std::fs::write(folder.join("reward.sh"), script).unwrap();
    let options = format!("directory = \"{}\"\nbackoff = 0.01\ntimeout = 1\n{options}", folder.display());
    let plan = RewardRegistry::default().plan("exec:sh reward.sh", &options.parse().unwrap()).unwrap();
    assess(&plan.open(&RewardContext::default()).map_err(|error| error.to_string())?, 3)
}

#[cfg(unix)]
#[test]
fn a_program_that_fails_is_started_again_and_ends_as_without_faults() {
    // It answers its probe, fails once at the next request, and remembers in a file that it has.
    let faults = [
        ("exit 3", "it ended (exit status: 3) before it answered"),
        ("sleep 30", "no answer within 1 s"),
        ("echo garbage; sleep 30", "`garbage`, is no answer"),
        ("echo '[0.5'; exit 0", "it ended (exit status: 0) before it answered"),
        ("echo '[1]'", "number of values is 1, wanted 3"),
        ("echo 0.5", "`0.5` found, a JSON list of 3 numbers wanted"),
        ("echo '{\"error\": \"no face\"}'", "it says `no face`"),
        ("echo '[1, 2, 3]'; echo '[1, 2, 3]'; exit 0", ""),
    ];
    for (fault, words) in faults {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "read line; echo '[0]'; while read line; do if [ -e failed ]; then echo '[1, 2, 3]'; else : > failed; {fault}; fi; done"
        );
        // A program that is started again is not probed: its first request is the one that failed.
        let script = format!("if [ -e failed ]; then while read line; do echo '[1, 2, 3]'; done; fi; {script}");
        let said = scripted(folder.path(), &script, "on-failure = \"retry\"").unwrap();
        assert_eq!(said.values, [1.0, 2.0, 3.0], "{fault}");
        assert!(said.warnings.join("\n").contains(words), "{fault}: {:?}", said.warnings);
        let folder = tempfile::tempdir().unwrap();
        let never = format!("read line; echo '[0]'; while read line; do {fault}; done");
        // Too few numbers are counted by who asks, in words of its own.
        if !words.is_empty() && !words.starts_with("number of values") {
            let error = scripted(folder.path(), &never, "").unwrap_err();
            assert!(error.contains(words), "{fault}: {error}");
        }
    }
}

#[test]
fn smoothing_asks_about_copies_and_adds_them_up() {
    let asked: Arc<Mutex<BTreeMap<usize, Vec<String>>>> = Arc::default();
    let heard = asked.clone();
    let server = HttpServer::start(move |request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let images =
            body["images"].as_array().unwrap().iter().map(|image| image.as_str().unwrap().to_owned()).collect();
        heard.lock().unwrap().insert(request.number, images);
        HttpReply::ok(lengths(&request.body))
    });
    let options = "smooth-samples = 3".parse().unwrap();
    let plan = RewardRegistry::default().plan(&format!("smooth:0.2:{}", server.url("/")), &options).unwrap();
    let judge = plan.open(&RewardContext::default()).unwrap();
    assert_eq!(assess(&judge, 2).unwrap().values, [1.0, 2.0]);
    let images = asked.lock().unwrap()[&1].clone();
    let different: std::collections::BTreeSet<&String> = images.iter().collect();
    assert_eq!((images.len(), different.len()), (6, 6));
}
