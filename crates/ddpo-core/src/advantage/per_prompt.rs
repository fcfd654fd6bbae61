//! Advantages over the latest rewards of the same prompt.

use std::collections::{BTreeMap, VecDeque};

use super::contract::{Advantage, AdvantageState, check};
use super::moments::Moments;
use crate::{Error, PromptId, Result};

/// Added to the standard deviation, as in the reference implementation with prompt tracking.
const EPSILON: f64 = 1e-6;

/// `(r − mean) / (std + 1e-6)` over the latest `buffer_size` rewards of the prompt, these included; over the batch as long as
/// the prompt has fewer than `min_count` (Black et al., arXiv 2305.13301, appendix D.3).
#[derive(Clone, Debug)]
pub struct PerPromptAdvantage {
    buffer_size: usize,
    min_count: usize,
    /// Invariant: no deque is longer than `buffer_size`.
    latest: BTreeMap<PromptId, VecDeque<f32>>,
}

impl PerPromptAdvantage {
    /// A tracker that knows no rewards yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the buffer is empty, or can never hold `min_count` rewards.
    pub fn new(buffer_size: usize, min_count: usize) -> Result<Self> {
        if buffer_size == 0 {
            return Err(Error::parameter("buffer size", buffer_size, "at least 1"));
        }
        if min_count > buffer_size {
            return Err(Error::parameter("minimum count", min_count, format!("at most the buffer size {buffer_size}")));
        }
        Ok(Self { buffer_size, min_count, latest: BTreeMap::new() })
    }

    fn extend(&mut self, prompt: PromptId, reward: f32) {
        let latest = self.latest.entry(prompt).or_default();
        latest.push_back(reward);
        if latest.len() > self.buffer_size {
            latest.pop_front();
        }
    }

    /// The moments that rewards of a prompt are measured against.
    fn moments(&self, prompt: PromptId, batch: Moments) -> Moments {
        match self.latest.get(&prompt) {
            Some(latest) if latest.len() >= self.min_count => Moments::of(latest.iter()),
            _ => batch,
        }
    }
}

impl Advantage for PerPromptAdvantage {
    /// The buffers are extended by all rewards before any is normalised: a reward is always among those it is compared with.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        for (&prompt, &reward) in prompts.iter().zip(rewards) {
            self.extend(prompt, reward);
        }
        let batch = Moments::of(rewards.iter());
        let normalise = |(&prompt, &reward)| self.moments(prompt, batch).normalise(reward, EPSILON);
        Ok(prompts.iter().zip(rewards).map(normalise).collect())
    }

    fn state(&self) -> AdvantageState {
        self.latest.iter().map(|(&prompt, latest)| (prompt, latest.iter().copied().collect())).collect()
    }

    fn restore(&mut self, state: AdvantageState) -> Result<()> {
        self.latest.clear();
        for (prompt, rewards) in state {
            rewards.into_iter().for_each(|reward| self.extend(prompt, reward));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(prompts: &[u64]) -> Vec<PromptId> {
        prompts.iter().copied().map(PromptId).collect()
    }

    #[test]
    fn few_rewards_are_measured_against_the_batch() {
        let mut tracker = PerPromptAdvantage::new(4, 2).unwrap();
        let advantages = tracker.advantages(&ids(&[0, 1]), &[1.0, 3.0]).unwrap();
        assert!((advantages[0] + 1.0).abs() < 2e-6 && (advantages[1] - 1.0).abs() < 2e-6);
    }

    #[test]
    fn the_buffer_is_extended_before_normalising() {
        let mut tracker = PerPromptAdvantage::new(4, 2).unwrap();
        tracker.advantages(&ids(&[0]), &[1.0]).unwrap();
        // [1, 3]: mean 2, standard deviation 1. Without the reward itself there would be one entry, and the batch decides.
        let advantages = tracker.advantages(&ids(&[0]), &[3.0]).unwrap();
        assert!((advantages[0] - 1.0).abs() < 2e-6);
    }

    #[test]
    fn old_rewards_are_forgotten() {
        let mut tracker = PerPromptAdvantage::new(2, 1).unwrap();
        tracker.advantages(&ids(&[0, 0, 0]), &[100.0, 1.0, 3.0]).unwrap();
        assert_eq!(tracker.state(), [(PromptId(0), vec![1.0, 3.0])]);
    }

    #[test]
    fn a_restored_tracker_continues_as_if_nothing_happened() {
        let mut tracker = PerPromptAdvantage::new(3, 2).unwrap();
        tracker.advantages(&ids(&[0, 1, 0]), &[1.0, 5.0, 2.0]).unwrap();
        let mut restored = PerPromptAdvantage::new(3, 2).unwrap();
        restored.restore(tracker.state()).unwrap();
        let next = (ids(&[1, 0]), [4.0, 0.5]);
        assert_eq!(tracker.advantages(&next.0, &next.1).unwrap(), restored.advantages(&next.0, &next.1).unwrap());
    }

    #[test]
    fn impossible_buffers_are_refused() {
        assert!(PerPromptAdvantage::new(0, 0).is_err());
        assert!(PerPromptAdvantage::new(4, 5).is_err());
    }
}
