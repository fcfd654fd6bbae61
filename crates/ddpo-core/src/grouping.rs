//! Which samples belong together.

use std::collections::BTreeMap;

/// Which samples are compared with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// The samples of one prompt.
    Prompt,
    /// All samples of an epoch, which a regression calls a round.
    Epoch,
}

impl Grouping {
    /// The rows of each group, in the order of prompts; none is empty.
    pub fn rows<K: Ord>(self, prompts: &[K]) -> Vec<Vec<usize>> {
        let mut groups: BTreeMap<Option<&K>, Vec<usize>> = BTreeMap::new();
        for (row, prompt) in prompts.iter().enumerate() {
            let key = match self {
                Self::Prompt => Some(prompt),
                Self::Epoch => None,
            };
            groups.entry(key).or_default().push(row);
        }
        groups.into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_group() {
        let prompts = ["fox", "cat", "fox"];
        assert_eq!(Grouping::Prompt.rows(&prompts), [vec![1], vec![0, 2]]);
        assert_eq!(Grouping::Epoch.rows(&prompts), [[0, 1, 2]]);
        assert!(Grouping::Epoch.rows::<&str>(&[]).is_empty());
    }
}
