//! A textual-inversion embedding, and the word of it in a prompt.

use ddpo::models::Embedding;

use super::common::PIPELINE;

/// Tries one input.
pub fn run(bytes: &[u8]) {
    let Ok(embedding) = Embedding::from_bytes("word.safetensors", bytes.to_vec(), None) else { return };
    assert!(!embedding.is_empty());
    if let Ok(pipeline) = PIPELINE.with_embedding(&embedding) {
        let prompt = format!("a {} on a mat", embedding.token);
        // More vectors than a prompt has room for are cut off with the rest of it.
        assert_eq!(pipeline.tokenizer.encode(&prompt).unwrap().len(), pipeline.tokenizer.max_length());
    }
}
