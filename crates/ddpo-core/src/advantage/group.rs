//! Advantages within groups of samples of the same prompt.

use super::contract::{Advantage, check};
use super::statistics::RewardStatistics;
use crate::{Error, PromptId, Result};

/// Added to the standard deviation.
const EPSILON: f64 = 1e-6;

/// `(r − mean) / (std + 1e-6)` over the samples of one prompt in this epoch, `size` consecutive ones a group
/// (GRPO, arXiv 2402.03300, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAdvantage {
    size: usize,
}

impl GroupAdvantage {
    /// Groups of `size` samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for groups of fewer than two, whose advantages would all be 0.
    pub fn new(size: usize) -> Result<Self> {
        match size {
            0 | 1 => Err(Error::parameter("group size", size, "at least 2")),
            _ => Ok(Self { size }),
        }
    }
}

impl Advantage for GroupAdvantage {
    /// # Errors
    /// [`Error::Parameter`] if the samples do not fill groups, or a group mixes prompts.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        if !rewards.len().is_multiple_of(self.size) {
            return Err(Error::parameter(
                "samples",
                rewards.len(),
                format!("a multiple of the group size {}", self.size),
            ));
        }
        if let Some(mixed) = prompts.chunks(self.size).position(|group| group.iter().any(|prompt| *prompt != group[0]))
        {
            return Err(Error::parameter(
                "group",
                format!("number {mixed} with several prompts"),
                "one prompt a group",
            ));
        }
        let normalise = |group: &[f32]| {
            let moments = RewardStatistics::of(group.iter());
            group.iter().map(|&reward| moments.normalise(reward, EPSILON)).collect::<Vec<_>>()
        };
        Ok(rewards.chunks(self.size).flat_map(normalise).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_do_not_see_each_other() {
        let prompts = [PromptId(0), PromptId(0), PromptId(1), PromptId(1)];
        let advantages = GroupAdvantage::new(2).unwrap().advantages(&prompts, &[1.0, 3.0, 100.0, 300.0]).unwrap();
        let expected = [-1.0, 1.0, -1.0, 1.0];
        assert!(advantages.iter().zip(expected).all(|(a, e): (&f32, f32)| (a - e).abs() < 2e-6), "{advantages:?}");
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let mut groups = GroupAdvantage::new(2).unwrap();
        assert!(groups.advantages(&[PromptId(0); 3], &[0.0; 3]).is_err());
        assert!(groups.advantages(&[PromptId(0), PromptId(1)], &[0.0; 2]).is_err());
        assert!(GroupAdvantage::new(1).is_err());
    }
}
