//! The text states of prompts with weights and of any length.

use burn::tensor::{Tensor, TensorData};
use ddpo_nn::{PromptPiece, Result};

use crate::pipeline::Pipeline;

impl Pipeline {
    /// The text states of prompts in the syntax of A1111's web UI ([`ddpo_nn::parse_weights`]), by its rule: a prompt is cut into
    /// pieces that the text encoder takes, each is encoded, its states are multiplied by the weights of their tokens and then by one
    /// number that gives them the mean they had, and the pieces follow each other. Prompts of fewer pieces than the longest end
    /// with pieces of nothing.
    ///
    /// Layers that are skipped are skipped for every prompt; the web UI, too, has one number for all.
    ///
    /// A prompt that fits and has no weights has the states of [`Pipeline::encode_prompts`].
    ///
    /// # Shapes
    ///
    /// `B` prompts `-> [B, pieces * S, C]`
    ///
    /// # Errors
    ///
    /// If there is no prompt, one is refused by the syntax, or cannot be tokenized.
    pub fn encode_weighted(&self, prompts: &[String]) -> Result<Tensor<3>> {
        let mut all = prompts.iter().map(|prompt| self.tokenizer.encode_pieces(prompt)).collect::<Result<Vec<_>>>()?;
        let most = all.iter().map(Vec::len).max().unwrap_or(1);
        let nothing = self.tokenizer.encode_pieces("")?;
        all.iter_mut().for_each(|pieces| pieces.extend(nothing.iter().cycle().take(most - pieces.len()).cloned()));
        let rows = all.iter().map(|pieces| self.encode_row(pieces)).collect::<Result<Vec<_>>>()?;
        match rows.is_empty() {
            true => Ok(self.text_encoder.forward(&self.text_weights, &[])?.hidden),
            false => Ok(Tensor::cat(rows, 0)),
        }
    }

    /// The pieces of one prompt, one after the other: `[1, pieces * S, C]`.
    fn encode_row(&self, pieces: &[PromptPiece]) -> Result<Tensor<3>> {
        let ids: Vec<Vec<u32>> = pieces.iter().map(|piece| piece.ids.clone()).collect();
        let states = self.text_encoder.forward_skipping(&self.text_weights, &ids, self.clip_skip)?.hidden;
        let weighted = pieces.iter().enumerate().map(|(i, piece)| weigh(states.clone().narrow(0, i, 1), piece));
        Ok(Tensor::cat(weighted.collect(), 1))
    }
}

/// States `[1, S, C]` times the weights of a piece, with the mean that they had.
fn weigh(states: Tensor<3>, piece: &PromptPiece) -> Tensor<3> {
    if piece.is_plain() {
        return states;
    }
    let weights = TensorData::new(piece.weights.clone(), [1, piece.weights.len(), 1]);
    let mean = |x: &Tensor<3>| x.clone().mean_dim(2).mean_dim(1);
    let before = mean(&states);
    let weighted = states.clone() * Tensor::from_data(weights, &states.device());
    let after = mean(&weighted);
    weighted * (before / after)
}
