//! The latest rewards of each prompt, which advantages and weights are measured against.

use std::collections::{BTreeMap, VecDeque};

use crate::{Error, PromptId, Result};

/// A bounded memory of the rewards of each prompt.
#[derive(Clone, Debug)]
pub(crate) struct LatestRewards {
    size: usize,
    min_count: usize,
    /// Invariant: no deque is longer than `size`.
    latest: BTreeMap<PromptId, VecDeque<f32>>,
}

impl LatestRewards {
    /// A memory of `size` rewards a prompt, which speaks for a prompt once it has `min_count` of them.
    ///
    /// # Errors
    /// [`Error::Parameter`] if nothing can be remembered, or never `min_count` rewards.
    pub fn new(size: usize, min_count: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::parameter("buffer size", size, "at least 1"));
        }
        if min_count > size {
            return Err(Error::parameter("minimum count", min_count, format!("at most the buffer size {size}")));
        }
        Ok(Self { size, min_count, latest: BTreeMap::new() })
    }

    /// Remembers a reward of each of these prompts, in their order; the oldest beyond the size are forgotten.
    pub fn extend(&mut self, prompts: &[PromptId], rewards: &[f32]) {
        for (&prompt, &reward) in prompts.iter().zip(rewards) {
            self.push(prompt, reward);
        }
    }

    fn push(&mut self, prompt: PromptId, reward: f32) {
        let latest = self.latest.entry(prompt).or_default();
        latest.push_back(reward);
        if latest.len() > self.size {
            latest.pop_front();
        }
    }

    /// The prompt's rewards, oldest first, where there are enough of them to speak for it.
    pub fn of(&self, prompt: PromptId) -> Option<&VecDeque<f32>> {
        self.latest.get(&prompt).filter(|latest| latest.len() >= self.min_count)
    }

    /// Everything that is remembered, in the order of prompts.
    pub fn state(&self) -> Vec<(PromptId, Vec<f32>)> {
        self.latest.iter().map(|(&prompt, latest)| (prompt, latest.iter().copied().collect())).collect()
    }

    /// Puts back what [`state`](Self::state) gave.
    pub fn restore(&mut self, state: Vec<(PromptId, Vec<f32>)>) {
        self.latest.clear();
        for (prompt, rewards) in state {
            rewards.into_iter().for_each(|reward| self.push(prompt, reward));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_rewards_are_forgotten_and_few_do_not_speak() {
        let mut memory = LatestRewards::new(2, 2).unwrap();
        memory.extend(&[0, 1, 0, 0].map(PromptId), &[100.0, 5.0, 1.0, 3.0]);
        assert_eq!(memory.of(PromptId(0)).unwrap(), &[1.0, 3.0]);
        assert_eq!((memory.of(PromptId(1)), memory.of(PromptId(2))), (None, None));
    }

    #[test]
    fn its_state_comes_back() {
        let mut memory = LatestRewards::new(2, 1).unwrap();
        memory.extend(&[7, 3, 7].map(PromptId), &[1.0, 2.0, 3.0]);
        let state = memory.state();
        assert_eq!(state, [(PromptId(3), vec![2.0]), (PromptId(7), vec![1.0, 3.0])]);
        let mut restored = LatestRewards::new(2, 1).unwrap();
        restored.restore(state.clone());
        assert_eq!(restored.state(), state);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        assert!(LatestRewards::new(0, 0).is_err());
        assert!(LatestRewards::new(4, 5).is_err());
    }
}
