//! Advantages over the latest rewards of the same prompt.

use super::contract::{Advantage, AdvantageState, Deviation, check};
use super::statistics::RewardStatistics;
use crate::latest::LatestRewards;
use crate::{PromptId, Result};

/// Added to the standard deviation, as in the reference implementation with prompt tracking.
const EPSILON: f64 = 1e-6;

/// `(r − mean) / (std + 1e-6)` over the latest `buffer_size` rewards of the prompt, these included; over the batch as long as
/// the prompt has fewer than `min_count` (Black et al., arXiv 2305.13301, appendix D.3). The std may be that of
/// [all of the epoch](Deviation::Epoch).
#[derive(Clone, Debug)]
pub struct PerPromptAdvantage {
    memory: LatestRewards,
    deviation: Deviation,
}

impl PerPromptAdvantage {
    /// A tracker that knows no rewards yet.
    ///
    /// # Errors
    /// [`Error::Parameter`](crate::Error::Parameter) if the buffer is empty, or can never hold `min_count` rewards.
    pub fn new(buffer_size: usize, min_count: usize) -> Result<Self> {
        Ok(Self { memory: LatestRewards::new(buffer_size, min_count)?, deviation: Deviation::Peers })
    }

    /// The same tracker with this deviation.
    #[must_use]
    pub fn divided_by(self, deviation: Deviation) -> Self {
        Self { deviation, ..self }
    }

    /// The moments that rewards of a prompt are measured against.
    fn moments(&self, prompt: PromptId, batch: RewardStatistics) -> RewardStatistics {
        let own = self.memory.of(prompt).map_or(batch, |latest| RewardStatistics::of(latest.iter()));
        match self.deviation {
            Deviation::Peers => own,
            Deviation::Epoch => own.with_std_of(batch),
        }
    }
}

impl Advantage for PerPromptAdvantage {
    /// The buffers are extended by all rewards before any is normalised: a reward is always among those it is compared with.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        self.memory.extend(prompts, rewards);
        let batch = RewardStatistics::of(rewards.iter());
        let normalise = |(&prompt, &reward)| self.moments(prompt, batch).normalise(reward, EPSILON);
        Ok(prompts.iter().zip(rewards).map(normalise).collect())
    }

    fn state(&self) -> AdvantageState {
        self.memory.state()
    }

    fn restore(&mut self, state: AdvantageState) -> Result<()> {
        self.memory.restore(state);
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
    fn the_epochs_deviation_is_that_of_this_epochs_rewards_and_not_of_the_remembered_ones() {
        let mut tracker = PerPromptAdvantage::new(4, 2).unwrap().divided_by(Deviation::Epoch);
        tracker.advantages(&ids(&[0, 1]), &[0.0, 100.0]).unwrap();
        // Prompt 0 remembers [0, 4], whose mean is 2; this epoch's [4, 8] have the deviation 2. Prompt 1 remembers [100, 8].
        let advantages = tracker.advantages(&ids(&[0, 1]), &[4.0, 8.0]).unwrap();
        assert!((advantages[0] - 1.0).abs() < 2e-6 && (advantages[1] + 23.0).abs() < 5e-5, "{advantages:?}");
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
}
