//! The files of a tokenizer, and any text through what could be read of them.

use ddpo::nn::Tokenizer;

const FILES: [&str; 5] = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json", "none"];

/// Tries one input.
pub fn run(data: &[u8]) {
    // A digit says which file, the rest of its line is the text, and what follows is the file's content.
    let [which, rest @ ..] = data else { return };
    let name = FILES[usize::from(which.wrapping_sub(b'0')) % FILES.len()];
    let (text, bytes) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
    let (text, bytes) = (String::from_utf8_lossy(text), bytes.get(1..).unwrap_or_default());
    let Ok(tokenizer) = Tokenizer::from_files(&super::common::pipeline_with(&format!("tokenizer/{name}"), bytes))
    else {
        return;
    };
    // A length of a million tokens is allowed, and slow to fill.
    if tokenizer.max_length() > 4096 {
        return;
    }
    if let Ok(tokens) = tokenizer.encode(&text) {
        assert_eq!(tokens.len(), tokenizer.max_length());
    }
}
