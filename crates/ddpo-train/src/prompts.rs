//! Prompts with what the model is conditioned on for each, encoded once.

use std::collections::BTreeMap;

use ddpo_core::{Condition, PromptId};

use crate::error::{Error, Result};

/// A list of prompts and their encodings.
#[derive(Clone, Debug)]
pub struct EncodedPrompts {
    texts: Vec<String>,
    /// For each place in the list, the first place of its text.
    firsts: Vec<u64>,
    condition: Condition,
    unconditional: Condition,
}

impl EncodedPrompts {
    /// The prompts `texts`, one row of `condition` each, and the encoded empty or negative prompt: one row.
    ///
    /// # Errors
    /// [`Error::Count`] where there is no prompt, or the rows do not fit.
    pub fn new(texts: Vec<String>, condition: Condition, unconditional: Condition) -> Result<Self> {
        if texts.is_empty() {
            return Err(Error::Count { what: "prompts", found: 0, wanted: 1 });
        }
        let rows = [
            ("encoded prompts", condition.batch(), texts.len()),
            ("encoded unconditional prompts", unconditional.batch(), 1),
        ];
        for (what, found, wanted) in rows {
            if found != wanted {
                return Err(Error::Count { what, found, wanted });
            }
        }
        let mut places: BTreeMap<&str, u64> = BTreeMap::new();
        let firsts = texts.iter().zip(0..).map(|(text, place)| *places.entry(text).or_insert(place)).collect();
        Ok(Self { firsts, texts, condition, unconditional })
    }

    /// The number of prompts, at least 1.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The prompt at a place of the list. A text that is listed several times is one prompt, which is drawn that much more often.
    pub fn at(&self, place: usize) -> PromptId {
        PromptId(self.firsts.get(place).copied().unwrap_or(place as u64))
    }

    /// The encoded empty or negative prompt, one row.
    pub fn unconditional(&self) -> &Condition {
        &self.unconditional
    }

    /// The texts of these prompts; a prompt which is not in the book has none.
    pub fn texts(&self, prompts: &[PromptId]) -> Vec<String> {
        prompts.iter().map(|id| self.texts.get(id.0 as usize).cloned().unwrap_or_default()).collect()
    }

    /// The encodings of these prompts, a row each.
    ///
    /// # Errors
    /// [`Error::Core`] for a prompt which is not in the book.
    pub fn condition(&self, prompts: &[PromptId]) -> Result<Condition> {
        let rows: Vec<usize> = prompts.iter().map(|id| id.0 as usize).collect();
        Ok(self.condition.select(&rows)?)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[test]
    fn a_text_that_is_listed_twice_is_one_prompt() {
        let texts = ["cat", "dog", "cat", "cat", "dog"].map(String::from).to_vec();
        let states = |rows: usize| Condition::new(Tensor::<3>::zeros([rows, 1, 1], &Device::default()));
        let prompts = EncodedPrompts::new(texts, states(5), states(1)).unwrap();
        let places: Vec<u64> = (0..5).map(|place| prompts.at(place).0).collect();
        assert_eq!((places, prompts.count()), (vec![0, 1, 0, 0, 1], 5));
    }
}
