//! Prompts with what the model is conditioned on for each, encoded once.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpo_core::{Condition, PromptId, PromptMetadata};

use crate::error::{Error, Result};

/// A list of prompts and their encodings.
#[derive(Clone, Debug)]
pub struct EncodedPrompts {
    texts: Vec<String>,
    /// As many as texts, or empty.
    metadata: Vec<Arc<PromptMetadata>>,
    /// For each place in the list, the first place of its text and metadata.
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
        let firsts = firsts(texts.iter().map(String::as_str));
        Ok(Self { firsts, texts, metadata: Vec::new(), condition, unconditional })
    }

    /// The same with what is known of each prompt, for rewards: as many as prompts, or none. One text with different metadata is
    /// several prompts, since a reward may expect different things of them.
    ///
    /// # Errors
    /// [`Error::Count`] where their number is another.
    pub fn with_metadata(mut self, metadata: Vec<Arc<PromptMetadata>>) -> Result<Self> {
        if metadata.is_empty() {
            return Ok(self);
        }
        let (found, wanted) = (metadata.len(), self.texts.len());
        if found != wanted {
            return Err(Error::Count { what: "metadata of prompts", found, wanted });
        }
        let known = metadata.iter().map(|known| serde_json::to_string(&**known).unwrap_or_default());
        self.firsts = firsts(self.texts.iter().map(String::as_str).zip(known));
        Ok(Self { metadata, ..self })
    }

    /// The number of prompts, at least 1.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The prompt at a place of the list. A text that is listed several times, with the same metadata, is one
    /// prompt, which is drawn that much more often.
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

    /// What is known of these prompts, as many, or nothing where nothing is known of any of the list.
    pub fn metadata(&self, prompts: &[PromptId]) -> Vec<Arc<PromptMetadata>> {
        prompts.iter().filter_map(|id| self.metadata.get(id.0 as usize).cloned()).collect()
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

/// For each key the first place of its like.
fn firsts<K: Ord>(keys: impl Iterator<Item = K>) -> Vec<u64> {
    let mut places = BTreeMap::new();
    keys.zip(0..).map(|(key, place)| *places.entry(key).or_insert(place)).collect()
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
        assert!(prompts.metadata(&[PromptId(3)]).is_empty());
        // Of one text something else is expected.
        let known = |tag: u64| Arc::new(PromptMetadata::from_iter([("tag".to_owned(), tag.into())]));
        let tagged = prompts.clone().with_metadata([1, 1, 1, 2, 1].map(known).to_vec()).unwrap();
        let places: Vec<u64> = (0..5).map(|place| tagged.at(place).0).collect();
        assert_eq!(places, [0, 1, 0, 3, 1]);
        assert_eq!(tagged.metadata(&[PromptId(3), PromptId(0)]), [known(2), known(1)]);
        assert!(prompts.with_metadata(vec![known(1)]).is_err());
    }
}
