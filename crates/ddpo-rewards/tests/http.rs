//! The reward `http` against servers, good and bad.

use std::error::Error as _;
use std::time::{Duration, Instant};

use ddpo_core::{Judge, RewardBatch, RgbImage};
use ddpo_rewards::{RewardContext, RewardRegistry, score_checked};
use ddpo_testing::{HttpReply, HttpRequest, HttpServer};
use serde_json::{Value, json};
use toml::Table;

/// The reward of a server, which answers its probe well.
fn open(server: &HttpServer, options: &str) -> Judge {
    let options: Table = format!("on-failure = \"fail\"\n{options}").parse().unwrap();
    let plan = RewardRegistry::default().plan(&server.url("/score"), &options).unwrap();
    plan.open(&RewardContext::default()).unwrap()
}

/// A server that answers the probe, and every later request as `answer` says.
fn server(answer: impl Fn(&Value) -> HttpReply + Send + Sync + 'static) -> HttpServer {
    HttpServer::start(move |request: &HttpRequest| match request.number {
        0 => HttpReply::ok("[0]"),
        _ => answer(&serde_json::from_str(&request.body).unwrap()),
    })
}

/// The scores of two pictures, or why there are none.
fn score(judge: &Judge, side: u32) -> String {
    // Noise, which no encoder makes small.
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let image = RgbImage::new(side, side, (0..side * side * 3).map(|_| byte()).collect()).unwrap();
    let (images, prompts) = (vec![image; 2], ["a fox".to_owned(), "eine Möwe \u{1f426}".to_owned()]);
    match score_checked(judge, &RewardBatch::new(&images, &prompts), 2) {
        Ok(values) => format!("{values:?}"),
        Err(error) => error.source().map_or(error.to_string(), ToString::to_string),
    }
}

/// The message without the address, whose port is another every time.
fn check(server: &HttpServer, options: &str, expect: &str) {
    let message = score(&open(server, options), 8);
    assert_eq!(message.replace(&server.url("/score"), "URL"), expect);
}

#[test]
fn a_server_gets_pictures_and_prompts_and_answers_scores() {
    let server = server(|request| HttpReply::ok(json!({ "id": request["id"], "scores": [0.5, -2] }).to_string()));
    check(&server, "", "[0.5, -2.0]");
    let requests = server.requests();
    let body: Value = serde_json::from_str(&requests[1].body).unwrap();
    assert_eq!((&body["protocol"], &body["id"]), (&json!(2), &json!(1)));
    assert_eq!(body["prompts"], json!(["a fox", "eine Möwe \u{1f426}"]));
    let images = body["images"].as_array().unwrap();
    assert!(images.len() == 2 && images[0].as_str().unwrap().starts_with("iVBORw0KGgo"), "{images:?}");
    assert!(requests[1].line.starts_with("POST /score "), "{}", requests[1].line);
    assert!(requests[1].headers.contains(&"content-type: application/json".to_owned()));
    assert!(!requests[1].headers.iter().any(|header| header.starts_with("authorization")));
}

#[test]
fn a_key_of_the_environment_is_sent_and_not_shown() {
    // Any variable without blanks will do.
    let key = std::env::var("CARGO_MANIFEST_DIR").unwrap();
    let repeated = format!("bad key {key}");
    let server = server(move |_| HttpReply::Answer(401, Vec::new(), repeated.clone()));
    check(&server, "key-env = \"CARGO_MANIFEST_DIR\"", "ask `URL`: it answered with status 401: `bad key …`");
    assert!(server.requests()[1].headers.contains(&format!("authorization: Bearer {key}")));
}

#[test]
fn bad_answers_are_named() {
    let of = |reply: HttpReply, expect: &str| check(&server(move |_| reply.clone()), "timeout = 1", expect);
    of(HttpReply::ok("<html>"), "ask `URL`: `<html>` found, a JSON object with 2 `scores` wanted");
    of(HttpReply::ok("[1]"), "the reward `URL` gave 1 value for 2 images");
    of(HttpReply::ok("[1, null]"), "score sample 1 (prompt `eine Möwe \u{1f426}`): NaN found, a finite number wanted");
    of(
        HttpReply::ok("{\"id\": 9, \"scores\": [1, 2]}"),
        "ask `URL`: an answer to request 9 found, to request 1 wanted (`id` of both)",
    );
    of(HttpReply::ok("{\"error\": \"no face\"}"), "ask `URL`: it says `no face`");
    of(
        HttpReply::Answer(302, vec!["location: http://elsewhere.invalid/".to_owned()], String::new()),
        "ask `URL`: it answered with status 302",
    );
    of(
        HttpReply::Answer(500, Vec::new(), "out of memory\nat …".to_owned()),
        "ask `URL`: it answered with status 500: `out of memory`",
    );
    of(HttpReply::Hang, "ask `URL`: no whole answer within 1 s");
    of(HttpReply::Late(Duration::from_secs(3), "[1, 2]".to_owned()), "ask `URL`: no whole answer within 1 s");
    of(
        HttpReply::ok("[1, 2]".to_owned() + &" ".repeat(17 << 20)),
        "ask `URL`: the answer has more than 16777216 bytes",
    );
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    for reply in [HttpReply::BreakOff("[1, 2]".to_owned()), HttpReply::Close] {
        let server = server(move |_| reply.clone());
        let message = score(&open(&server, ""), 8);
        assert!(message.contains(": the answer broke off: "), "{message}");
    }
}

#[test]
fn a_server_that_does_not_read_or_is_not_there_is_given_up() {
    let (deaf, start) = (HttpServer::deaf(), Instant::now());
    let plan = |url: &str| RewardRegistry::default().plan(url, &"timeout = 1".parse().unwrap()).unwrap();
    let failed = |url: &str| plan(url).open(&RewardContext::default()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(failed(&deaf.url("/")), format!("ask `{}`: no whole answer within 1 s", deaf.url("/")));
    let gone = {
        let server = HttpServer::start(|_| HttpReply::Close);
        server.url("/")
    };
    assert!(start.elapsed() < Duration::from_secs(5));
    // The port of a server that has ended, once it has.
    let message = (0..100).map(|_| failed(&gone)).find(|message| message.contains("cannot connect")).unwrap();
    assert!(message.starts_with(&format!("ask `{gone}`: cannot connect: ")), "{message}");
    // More than the system's buffers hold: the sending itself has to be given up.
    let server = deaf_after_the_probe();
    let start = Instant::now();
    let message = score(&open(&server, "timeout = 1"), 2000);
    assert!(message.ends_with("no whole answer within 1 s"), "{message}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

/// A server that answers one request and reads no other.
fn deaf_after_the_probe() -> HttpServer {
    HttpServer::deaf_after(1, |_| HttpReply::ok("[0]"))
}
