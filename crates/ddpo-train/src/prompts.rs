//! Prompts with what the model is conditioned on for each, encoded once.

use ddpo_core::{Condition, PromptId};

use crate::error::{Error, Result};

/// A list of prompts and their encodings.
#[derive(Clone, Debug)]
pub struct EncodedPrompts {
    texts: Vec<String>,
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
        Ok(Self { texts, condition, unconditional })
    }

    /// The number of prompts, at least 1.
    pub fn count(&self) -> usize {
        self.texts.len()
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
