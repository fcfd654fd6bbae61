//! The reward `alignment` against a server that speaks the chat API, with an encoder of random weights.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use ddpo_core::{Assessment, Judge, PromptMetadata, RewardBatch, RgbImage};
use ddpo_nn::ModelFiles;
use ddpo_rewards::learned::bert_score::BertScore;
use ddpo_rewards::{RewardContext, RewardRegistry};
use ddpo_testing::{HttpReply, HttpRequest, HttpServer};
use serde_json::{Value, json};

fn encoder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../ddpo-nn/tests/fixtures/roberta")
}

fn answer(text: &str) -> HttpReply {
    HttpReply::ok(json!({ "choices": [{ "message": { "role": "assistant", "content": text } }] }).to_string())
}

/// The question of a request.
fn question(request: &HttpRequest) -> String {
    let body: Value = serde_json::from_str(&request.body).unwrap();
    body.pointer("/messages/0/content/0/text").unwrap().as_str().unwrap().to_owned()
}

fn judge(server: &HttpServer, options: &str) -> Judge {
    let options = format!("bert-score = \"{}\"\nlayer = 2\nbackoff = 0.01\n{options}", encoder().display());
    let text = format!("alignment:{}", server.url("/v1/"));
    let plan = RewardRegistry::default().plan(&text, &options.parse().unwrap()).unwrap();
    let prompts = vec!["a fox".to_owned(), "a dog washing the dishes".to_owned()];
    plan.open(&RewardContext::default().with_prompts(prompts, Vec::new())).unwrap()
}

fn assess(judge: &Judge, prompts: &[&str], metadata: &[Value]) -> Result<Assessment, String> {
    let images: Vec<RgbImage> = (0..prompts.len()).map(|i| RgbImage::new(1, 1, vec![i as u8; 3]).unwrap()).collect();
    let prompts: Vec<String> = prompts.iter().map(ToString::to_string).collect();
    let metadata: Vec<Arc<PromptMetadata>> =
        metadata.iter().map(|known| Arc::new(known.as_object().unwrap().clone())).collect();
    let said = judge.assess(&RewardBatch::new(&images, &prompts).with_metadata(&metadata), 8);
    said.map_err(|error| std::error::Error::source(&error).map_or(error.to_string(), ToString::to_string))
}

#[test]
fn the_reward_is_how_much_of_the_prompt_is_in_the_answer() {
    let server = HttpServer::start(|_| answer(" a dog on a bike\n"));
    let said = assess(&judge(&server, ""), &["a fox", "a dog washing the dishes"], &[]).unwrap();
    let bert_score = BertScore::load(&ModelFiles::Directory(encoder()), Some(2), &Device::flex()).unwrap();
    let references = ["The image contains a fox", "The image contains a dog washing the dishes"].map(String::from);
    let answers = vec!["a dog on a bike".to_owned(); 2];
    let expected = bert_score.score(&answers, &references).unwrap();
    for (row, scores) in expected.iter().enumerate() {
        let close = |found: f32, wanted: f32| assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        close(said.values[row], scores.recall);
        close(said.parts["recall"][row], scores.recall);
        close(said.parts["precision"][row], scores.precision);
        close(said.parts["f1"][row], scores.f1);
    }
    assert_ne!(said.values[0], said.values[1]);
    let words = vec![(0, "a dog on a bike".to_owned()), (1, "a dog on a bike".to_owned())];
    assert_eq!(said.remarks, words);
    let request = &server.requests()[1];
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert!(request.line.starts_with("POST /v1/chat/completions "), "{}", request.line);
    assert_eq!(
        (&body["model"], &body["temperature"], &body["max_tokens"]),
        (&json!("llava-hf/llava-1.5-7b-hf"), &json!(0), &json!(64))
    );
    assert_eq!(question(request), "Answer concisely: what is going on in this image?");
    let picture = body.pointer("/messages/0/content/1/image_url/url").unwrap().as_str().unwrap();
    assert!(picture.starts_with("data:image/png;base64,iVBORw0KGgo"), "{picture}");
}

#[test]
fn the_strict_reward_is_the_share_of_right_answers() {
    let server = HttpServer::start(|request| match question(request).as_str() {
        "How many foxes are there in this image?" => answer("There are 3 foxes."),
        "What animal is in this image?" => answer("A cat, I think."),
        "Is this an image of two dogs? Answer yes or no." => answer("Yes."),
        _ => answer("No."),
    });
    let foxes = json!({
        "questions": ["How many foxes are there in this image?", "What animal is in this image?"],
        "answers": ["three", "fox"],
    });
    let judge = judge(&server, "strict = true");
    let said = assess(&judge, &["three foxes", "two dogs", "a cow"], &[foxes, json!({}), json!({})]).unwrap();
    assert_eq!(said.values, [0.5, 1.0, 0.0]);
    assert!(said.remarks[0].1.contains("There are 3 foxes. What animal"), "{:?}", said.remarks);
    let broken = json!({ "questions": ["How many?"], "answers": [] });
    let error = assess(&judge, &["two dogs"], &[broken]).unwrap_err();
    assert!(error.starts_with("ask about the prompt `two dogs`: its metadata have"), "{error}");
}

/// A server that is good to its probe, and then fails as often as it is told to.
fn faulty(faults: usize, fault: HttpReply) -> HttpServer {
    HttpServer::start(move |request| match request.number {
        number if (1..=faults).contains(&number) => fault.clone(),
        _ => answer("a dog on a bike"),
    })
}

#[test]
fn a_server_that_fails_is_asked_again_and_the_reward_is_the_same() {
    let prompts = ["a fox", "a dog washing the dishes", "a cow"];
    let good = assess(&judge(&faulty(0, HttpReply::Close), ""), &prompts, &[]).unwrap();
    let faults = [
        (HttpReply::Hang, "no whole answer within 1 s"),
        (HttpReply::Close, "the answer broke off"),
        (HttpReply::BreakOff("{\"choices\":".to_owned()), "the answer broke off"),
        (HttpReply::ok("garbage"), "`garbage` found, a chat completion with choices[0].message.content wanted"),
        (HttpReply::ok("{\"choices\": []}"), "a chat completion with choices[0].message.content wanted"),
        (HttpReply::Answer(500, Vec::new(), "no memory".to_owned()), "it answered with status 500: `no memory`"),
        (answer(""), "1 image got no score"),
    ];
    for (fault, words) in faults {
        let said = assess(&judge(&faulty(2, fault.clone()), "timeout = 1\nconcurrency = 1"), &prompts, &[]).unwrap();
        assert_eq!((&said.values, &said.remarks), (&good.values, &good.remarks), "{words}");
        assert!(said.warnings.len() == 2 && said.warnings[0].contains(words), "{words}: {:?}", said.warnings);
        let server = faulty(usize::MAX, fault);
        let options = "timeout = 1\nretries = 0\nbatch-size = 3\non-failure = \"skip-sample\"";
        let said = assess(&judge(&server, options), &prompts, &[]).unwrap();
        assert_eq!(said.left_out, [0, 1, 2], "{words}");
    }
}
