//! A list of prompts, each with what is known of it.

use std::sync::Arc;

use ddpo_core::PromptMetadata;

/// Prompts, and what their file says of each besides its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PromptList {
    /// The texts.
    pub texts: Vec<String>,
    /// What is known of each, as many as texts; empty where nothing is known of any.
    pub metadata: Vec<Arc<PromptMetadata>>,
}

impl PromptList {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// The prompts at `places`, which must be places of this list.
    #[must_use]
    pub(super) fn select(&self, places: impl Iterator<Item = usize>) -> Self {
        let known = |place: usize| self.metadata.get(place).cloned().unwrap_or_default();
        places.map(|place| (self.texts[place].clone(), known(place))).collect()
    }

    /// The prompts whose texts are not among these; none where no prompt would be left.
    pub(crate) fn without(&self, texts: &std::collections::BTreeSet<String>) -> Option<Self> {
        let rest = self.select((0..self.len()).filter(|&place| !texts.contains(&self.texts[place])));
        (!rest.is_empty()).then_some(rest)
    }

    /// The prompts of this list and then those of another.
    #[must_use]
    pub(crate) fn chain(&self, other: &Self) -> Self {
        let pairs = |list: &Self| {
            let known = list.metadata.iter().cloned().chain(std::iter::repeat(Arc::default()));
            list.texts.iter().cloned().zip(known).collect::<Vec<_>>()
        };
        pairs(self).into_iter().chain(pairs(other)).collect()
    }
}

impl From<Vec<String>> for PromptList {
    fn from(texts: Vec<String>) -> Self {
        Self { texts, metadata: Vec::new() }
    }
}

impl FromIterator<(String, Arc<PromptMetadata>)> for PromptList {
    fn from_iter<I: IntoIterator<Item = (String, Arc<PromptMetadata>)>>(prompts: I) -> Self {
        let (texts, mut metadata): (Vec<_>, Vec<_>) = prompts.into_iter().unzip();
        if metadata.iter().all(|known| known.is_empty()) {
            metadata.clear();
        }
        Self { texts, metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_stays_with_its_prompt() {
        let known = |tag: &str| Arc::new(PromptMetadata::from_iter([("tag".to_owned(), tag.into())]));
        let tagged: PromptList = ["a", "b", "c"].into_iter().map(|text| (text.to_owned(), known(text))).collect();
        let plain = PromptList::from(vec!["d".to_owned()]);
        assert_eq!(tagged.select([2, 0].into_iter()).metadata, [known("c"), known("a")]);
        let both = plain.chain(&tagged);
        assert_eq!(both.texts, ["d", "a", "b", "c"]);
        assert_eq!(both.metadata, [Arc::default(), known("a"), known("b"), known("c")]);
        assert!(plain.chain(&plain).metadata.is_empty());
    }
}
