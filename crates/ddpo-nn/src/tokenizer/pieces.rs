//! Prompts of any length as pieces that fit a text encoder, with a weight for each token, by the rule of A1111's web UI.

use super::Tokenizer;
use crate::{
    error::{Error, Result},
    text::{PromptPart, parse_weights},
};

/// How many tokens before the end of a piece a comma may be for the rest behind it to move to the next piece.
const BACKTRACK: usize = 20;

/// A piece of a prompt: as many tokens as the text encoder takes, and the weight of each.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptPiece {
    /// The ids: a start, the text, an end, and what pads it.
    pub ids: Vec<u32>,
    /// The weights; those of start, end and padding are 1.
    pub weights: Vec<f32>,
}

impl PromptPiece {
    /// Whether all weights are 1.
    pub fn is_plain(&self) -> bool {
        self.weights.iter().all(|weight| *weight == 1.0)
    }
}

/// Pieces while they are filled.
struct Filling<'a> {
    tokenizer: &'a Tokenizer,
    pieces: Vec<PromptPiece>,
    tokens: Vec<(u32, f32)>,
    last_comma: Option<usize>,
}

impl Tokenizer {
    /// The pieces of a prompt with weights, at least one.
    ///
    /// # Errors
    ///
    /// If the prompt's syntax is refused, or the tokenizer's own files make it fail on the text.
    pub fn encode_pieces(&self, prompt: &str) -> Result<Vec<PromptPiece>> {
        if self.room() == 0 {
            return Err(Error::Tokenizer("a length of 2 leaves no room for a text".into()));
        }
        let comma = self.inner.token_to_id(",</w>");
        let words = self.words_by_tokens()?;
        let mut filling = Filling { tokenizer: self, pieces: Vec::new(), tokens: Vec::new(), last_comma: None };
        for part in parse_weights(prompt)? {
            match part {
                PromptPart::Break => filling.finish_piece(),
                PromptPart::Text(text, weight) => {
                    let (tokens, weight) = (self.plain_tokens(&text)?, weight as f32);
                    let mut rest = tokens.as_slice();
                    while let [id, behind @ ..] = rest {
                        match words.iter().find(|(name, _)| rest.starts_with(name)) {
                            Some((name, word)) => {
                                filling.push_word(&word.ids, weight);
                                rest = &rest[name.len()..];
                            }
                            None => {
                                filling.push(*id, weight, comma);
                                rest = behind;
                            }
                        }
                    }
                }
            }
        }
        if !filling.tokens.is_empty() || filling.pieces.is_empty() {
            filling.finish_piece();
        }
        Ok(filling.pieces)
    }

    /// How many tokens of a text fit between start and end.
    fn room(&self) -> usize {
        self.max_length.saturating_sub(2)
    }
}

impl Filling<'_> {
    fn push(&mut self, id: u32, weight: f32, comma: Option<u32>) {
        let is_full = self.tokens.len() == self.tokenizer.room();
        if Some(id) == comma {
            self.last_comma = Some(self.tokens.len());
        } else if let Some(at) = self.last_comma.filter(|at| is_full && self.tokens.len() - at <= BACKTRACK) {
            let moved = self.tokens.split_off(at + 1);
            self.finish_piece();
            self.tokens = moved;
        }
        if self.tokens.len() == self.tokenizer.room() {
            self.finish_piece();
        }
        self.tokens.push((id, weight));
    }

    /// The vectors of a word stay in one piece, if one has room for them.
    fn push_word(&mut self, ids: &[u32], weight: f32) {
        if self.tokens.len() + ids.len() > self.tokenizer.room() && !self.tokens.is_empty() {
            self.finish_piece();
        }
        ids.iter().for_each(|id| self.push(*id, weight, None));
    }

    fn finish_piece(&mut self) {
        let Tokenizer { start, end, pad, max_length, .. } = *self.tokenizer;
        let (ids, weights): (Vec<u32>, Vec<f32>) = self.tokens.drain(..).unzip();
        let mut piece =
            PromptPiece { ids: [vec![start], ids, vec![end]].concat(), weights: [vec![1.0], weights].concat() };
        piece.ids.resize(max_length, pad);
        piece.weights.resize(max_length, 1.0);
        self.pieces.push(piece);
        self.last_comma = None;
    }
}
