//! A prompt with weights: its parts, and the pieces that a tokenizer makes of them.

use ddpo::nn::parse_weights;

use super::common::PIPELINE;

/// Tries one input.
pub fn run(data: &[u8]) {
    let Ok(prompt) = std::str::from_utf8(data) else { return };
    let tokenizer = &PIPELINE.tokenizer;
    if parse_weights(prompt).is_ok() {
        for piece in tokenizer.encode_pieces(prompt).unwrap() {
            assert_eq!((piece.ids.len(), piece.weights.len()), (tokenizer.max_length(), tokenizer.max_length()));
        }
    }
}
