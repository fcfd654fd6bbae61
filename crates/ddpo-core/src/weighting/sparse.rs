//! Weights of one for the best samples, and of none for the others.

use super::contract::{Weighting, WeightingState, check};
use crate::latest::LatestRewards;
use crate::{Error, Grouping, PromptId, Result};

/// Sparse reward-weighted regression (Black et al., arXiv 2305.13301, section 4.2): weight 1 for a reward of at least the
/// given percentile of its peers, else 0.
///
/// The peers are the samples of the round, or the latest `buffer_size` rewards of the prompt, these included: the
/// threshold streams along with the policy from round to round. A prompt with fewer than `min_count` remembered rewards
/// is measured against the round, since one of two samples is always its prompt's best.
#[derive(Clone, Debug)]
pub struct SparseWeights {
    percentile: f64,
    grouping: Grouping,
    /// Empty for [`Grouping::Epoch`].
    memory: LatestRewards,
}

impl SparseWeights {
    /// Weights that know no rewards yet.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the percentile is not from 0 to 100, the buffer is empty, or it can never hold `min_count`.
    pub fn new(percentile: f64, grouping: Grouping, buffer_size: usize, min_count: usize) -> Result<Self> {
        if !(0.0..=100.0).contains(&percentile) {
            return Err(Error::parameter("percentile", percentile, "a number from 0 to 100"));
        }
        Ok(Self { percentile, grouping, memory: LatestRewards::new(buffer_size, min_count)? })
    }

    /// The least reward of a prompt that is kept.
    fn threshold(&self, prompt: PromptId, round: f64) -> f64 {
        self.memory.of(prompt).map_or(round, |latest| percentile(latest.iter().copied(), self.percentile))
    }
}

impl Weighting for SparseWeights {
    /// The memory is extended by all rewards before any is judged: a reward is always among those it is compared with.
    fn weights(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        if self.grouping == Grouping::Prompt {
            self.memory.extend(prompts, rewards);
        }
        let round = percentile(rewards.iter().copied(), self.percentile);
        let kept = |(&prompt, &reward)| f64::from(reward) >= self.threshold(prompt, round);
        Ok(prompts.iter().zip(rewards).map(|pair| if kept(pair) { 1.0 } else { 0.0 }).collect())
    }

    fn state(&self) -> WeightingState {
        self.memory.state()
    }

    fn restore(&mut self, state: WeightingState) -> Result<()> {
        self.memory.restore(state);
        Ok(())
    }
}

/// The percentile by linear interpolation between the two nearest ranks, as numpy has it; infinite for no values.
fn percentile(values: impl Iterator<Item = f32>, percent: f64) -> f64 {
    let mut sorted: Vec<f32> = values.collect();
    sorted.sort_by(f32::total_cmp);
    let rank = percent / 100.0 * sorted.len().saturating_sub(1) as f64;
    let below = rank.floor() as usize;
    let Some(&low) = sorted.get(below) else { return f64::INFINITY };
    let high = sorted.get(below + 1).copied().unwrap_or(low);
    f64::from(low) + (rank - below as f64) * (f64::from(high) - f64::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(prompts: &[u64]) -> Vec<PromptId> {
        prompts.iter().copied().map(PromptId).collect()
    }

    #[test]
    fn percentiles_are_numpys() {
        let of = |percent| percentile([4.0, 1.0, 3.0, 2.0].into_iter(), percent);
        assert_eq!([of(0.0), of(50.0), of(100.0)], [1.0, 2.5, 4.0]);
        assert!((of(90.0) - 3.7).abs() < 1e-12);
        assert_eq!(percentile([].into_iter(), 90.0), f64::INFINITY);
    }

    #[test]
    fn the_best_of_each_prompt_are_kept() {
        let mut sparse = SparseWeights::new(50.0, Grouping::Prompt, 8, 2).unwrap();
        let weights = sparse.weights(&ids(&[0, 1, 0, 1, 0]), &[1.0, 100.0, 2.0, 300.0, 3.0]).unwrap();
        assert_eq!(weights, [0.0, 0.0, 1.0, 1.0, 1.0]);
        let mut sparse = SparseWeights::new(80.0, Grouping::Epoch, 8, 2).unwrap();
        let weights = sparse.weights(&ids(&[0, 1, 0, 1, 0]), &[1.0, 100.0, 2.0, 300.0, 3.0]).unwrap();
        assert_eq!(weights, [0.0, 0.0, 0.0, 1.0, 0.0]);
        assert!(sparse.state().is_empty());
    }

    #[test]
    fn thresholds_remember_earlier_rounds_and_forget_old_ones() {
        let mut sparse = SparseWeights::new(90.0, Grouping::Prompt, 3, 1).unwrap();
        sparse.weights(&ids(&[0, 0]), &[5.0, 9.0]).unwrap();
        assert_eq!(sparse.weights(&ids(&[0]), &[8.0]).unwrap(), [0.0], "an earlier round had better ones");
        sparse.weights(&ids(&[0, 0]), &[1.0, 1.0]).unwrap();
        assert_eq!(sparse.state(), [(PromptId(0), vec![8.0, 1.0, 1.0])]);
        assert_eq!(sparse.weights(&ids(&[0]), &[8.0]).unwrap(), [1.0], "the nine is forgotten");
    }

    #[test]
    fn prompts_with_few_rewards_are_measured_against_the_round() {
        let mut sparse = SparseWeights::new(75.0, Grouping::Prompt, 8, 2).unwrap();
        assert_eq!(sparse.weights(&ids(&[0, 1, 2, 3]), &[1.0, 2.0, 3.0, 4.0]).unwrap(), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_restored_weighting_continues_as_if_nothing_happened() {
        let mut sparse = SparseWeights::new(60.0, Grouping::Prompt, 3, 2).unwrap();
        sparse.weights(&ids(&[0, 1, 0]), &[1.0, 5.0, 2.0]).unwrap();
        let mut restored = SparseWeights::new(60.0, Grouping::Prompt, 3, 2).unwrap();
        restored.restore(sparse.state()).unwrap();
        let next = (ids(&[1, 0]), [4.0, 0.5]);
        assert_eq!(sparse.weights(&next.0, &next.1).unwrap(), restored.weights(&next.0, &next.1).unwrap());
    }

    #[test]
    fn impossible_numbers_are_refused() {
        for (percentile, buffer_size, min_count) in [(101.0, 1, 1), (f64::NAN, 1, 1), (90.0, 0, 0), (90.0, 1, 2)] {
            assert!(SparseWeights::new(percentile, Grouping::Prompt, buffer_size, min_count).is_err());
        }
    }
}
