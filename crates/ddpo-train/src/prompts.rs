//! Prompts with what the model is conditioned on for each, encoded once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use ddpo_core::{Condition, PromptId, PromptMetadata};

use crate::error::{Error, Result};

/// A list of prompts and their encodings, or the lists of several tasks, one behind the other.
#[derive(Clone, Debug)]
pub struct EncodedPrompts {
    texts: Vec<String>,
    /// As many as texts, or empty.
    metadata: Vec<Arc<PromptMetadata>>,
    /// Where each list ends.
    ends: Vec<usize>,
    /// For each place, the first place of its text and metadata in its list.
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
        let (metadata, ends, firsts) = (Vec::new(), vec![texts.len()], Vec::new());
        Ok(Self { firsts, texts, metadata, ends, condition, unconditional }.with_firsts())
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
        self.metadata = metadata;
        Ok(self.with_firsts())
    }

    /// The same as lists of these lengths, one behind the other. A text in two of them is two prompts: whatever is remembered of
    /// one belongs to its list.
    ///
    /// # Errors
    /// [`Error::Count`] where a list is empty, or all together have another length.
    pub fn in_lists(mut self, lengths: &[usize]) -> Result<Self> {
        let (found, wanted) = (lengths.iter().sum(), self.texts.len());
        if found != wanted || lengths.contains(&0) {
            return Err(Error::Count { what: "prompts in lists", found, wanted });
        }
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        self.ends = ends.collect();
        Ok(self.with_firsts())
    }

    fn with_firsts(mut self) -> Self {
        let known =
            |place: usize| self.metadata.get(place).map(|known| serde_json::to_string(&**known).unwrap_or_default());
        let list = |place: usize| self.ends.partition_point(|end| *end <= place);
        self.firsts = firsts((0..self.texts.len()).map(|place| (list(place), &self.texts[place], known(place))));
        self
    }

    /// The number of lists, at least 1.
    pub fn lists(&self) -> usize {
        self.ends.len()
    }

    /// The places of a list; none of one that there is not.
    pub fn list(&self, number: usize) -> Range<usize> {
        let end = |number: usize| self.ends.get(number).copied().unwrap_or(self.texts.len());
        if number == 0 { 0..end(0) } else { end(number - 1)..end(number) }
    }

    /// Whether two lists are of the same prompts in the same order.
    pub fn is_same_list(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.list(a), self.list(b));
        let known = |range: Range<usize>| self.metadata.get(range).unwrap_or_default();
        self.texts[a.clone()] == self.texts[b.clone()] && known(a) == known(b)
    }

    /// The number of prompts, at least 1.
    pub fn count(&self) -> usize {
        self.texts.len()
    }

    /// The prompt at a place. A text that a list has several times, with the same metadata, is one prompt, which is drawn that much
    /// more often.
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
        assert!(prompts.clone().with_metadata(vec![known(1)]).is_err());
        // In lists of two and three, each has a cat and a dog of its own.
        let lists = prompts.clone().in_lists(&[2, 3]).unwrap();
        let places: Vec<u64> = (0..5).map(|place| lists.at(place).0).collect();
        assert_eq!((places, lists.lists(), lists.list(0), lists.list(1)), (vec![0, 1, 2, 2, 4], 2, 0..2, 2..5));
        let places = |prompts: EncodedPrompts| (0..5).map(|place| prompts.at(place).0).collect::<Vec<_>>();
        let known_in_lists = places(lists.with_metadata([1, 1, 1, 2, 1].map(known).to_vec()).unwrap());
        assert_eq!(known_in_lists, [0, 1, 2, 3, 4]);
        assert_eq!(known_in_lists, places(tagged.in_lists(&[2, 3]).unwrap()));
        assert!(prompts.clone().in_lists(&[2, 2]).is_err() && prompts.in_lists(&[5, 0]).is_err());
    }

    #[test]
    fn lists_are_the_same_by_texts_and_what_is_known_of_them() {
        let texts = ["cat", "dog", "cat", "dog", "dog", "cat"].map(String::from).to_vec();
        let states = |rows: usize| Condition::new(Tensor::<3>::zeros([rows, 1, 1], &Device::default()));
        let prompts = EncodedPrompts::new(texts, states(6), states(1)).unwrap().in_lists(&[2, 2, 2]).unwrap();
        assert!(prompts.is_same_list(0, 1) && !prompts.is_same_list(0, 2));
        let known = |tag: u64| Arc::new(PromptMetadata::from_iter([("tag".to_owned(), tag.into())]));
        let tagged = prompts.with_metadata([1, 1, 1, 2, 1, 1].map(known).to_vec()).unwrap();
        assert!(!tagged.is_same_list(0, 1) && tagged.is_same_list(0, 0));
    }
}
