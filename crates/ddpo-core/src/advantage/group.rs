//! Advantages within groups of samples of the same prompt.

use super::contract::{Advantage, Deviation, check};
use super::statistics::RewardStatistics;
use crate::{Error, PromptId, Result};

/// Added to the standard deviation.
const EPSILON: f64 = 1e-6;

/// `(r − mean) / (std + 1e-6)` over the samples of one prompt in this epoch, `size` consecutive ones a group
/// (GRPO, arXiv 2402.03300, section 4.1), or with the std of [all of the epoch](Deviation::Epoch).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupAdvantage {
    size: usize,
    deviation: Deviation,
}

impl GroupAdvantage {
    /// Groups of `size` samples.
    ///
    /// # Errors
    /// [`Error::Parameter`] for groups of fewer than two, whose advantages would all be 0.
    pub fn new(size: usize) -> Result<Self> {
        match size {
            0 | 1 => Err(Error::parameter("group size", size, "at least 2")),
            _ => Ok(Self { size, deviation: Deviation::Peers }),
        }
    }

    /// The same groups with this deviation.
    #[must_use]
    pub fn divided_by(self, deviation: Deviation) -> Self {
        Self { deviation, ..self }
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
        let epoch = RewardStatistics::of(rewards.iter());
        let normalise = |group: &[f32]| {
            let own = RewardStatistics::of(group.iter());
            let moments = match self.deviation {
                Deviation::Peers => own,
                Deviation::Epoch => own.with_std_of(epoch),
            };
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

    fn divided_by_the_epochs(rewards: &[f32]) -> Vec<f32> {
        let prompts: Vec<PromptId> = (0..rewards.len() as u64).map(|row| PromptId(row / 2)).collect();
        let mut groups = GroupAdvantage::new(2).unwrap().divided_by(Deviation::Epoch);
        groups.advantages(&prompts, rewards).unwrap()
    }

    #[test]
    fn with_the_epochs_deviation_differences_keep_their_proportions_across_groups() {
        // The second group's samples differ a hundredth as much as the first's. Over all four the mean is 1 and the variance 1/2.
        let advantages = divided_by_the_epochs(&[0.0, 2.0, 0.99, 1.01]);
        let scale = (2.000_2f64 / 4.0).sqrt() as f32;
        let expected = [-1.0, 1.0, -0.01, 0.01].map(|difference| difference / scale);
        assert!(advantages.iter().zip(expected).all(|(a, e)| (a - e).abs() < 3e-6), "{advantages:?}");
        let own = GroupAdvantage::new(2).unwrap();
        let own = { own }.advantages(&[0, 0, 1, 1].map(PromptId), &[0.0, 2.0, 0.99, 1.01]).unwrap();
        assert!(own.iter().all(|a| (a.abs() - 1.0).abs() < 2e-4), "{own:?}");
    }

    #[test]
    fn with_the_epochs_deviation_groups_have_no_mean_and_scale_and_origin_no_matter() {
        let rewards = [1.0, 4.0, 7.5, 7.0, -2.0, 3.0];
        let advantages = divided_by_the_epochs(&rewards);
        assert!(advantages.chunks(2).all(|group| (group[0] + group[1]).abs() < 1e-6), "{advantages:?}");
        let moved = divided_by_the_epochs(&rewards.map(|reward| 8.0 * reward - 20.0));
        assert!(moved.iter().zip(&advantages).all(|(a, e)| (a - e).abs() < 1e-5), "{moved:?} {advantages:?}");
        assert_eq!(divided_by_the_epochs(&[0.25; 4]), [0.0; 4]);
    }

    #[test]
    fn the_epochs_deviation_of_a_single_group_is_its_own() {
        let (prompts, rewards) = ([PromptId(3); 4], [1.0, 3.0, 2.0, 7.0]);
        let group = GroupAdvantage::new(4).unwrap();
        let own = { group }.advantages(&prompts, &rewards).unwrap();
        assert_eq!(group.divided_by(Deviation::Epoch).advantages(&prompts, &rewards).unwrap(), own);
    }

    #[test]
    fn groups_that_do_not_fit_are_refused() {
        let mut groups = GroupAdvantage::new(2).unwrap();
        assert!(groups.advantages(&[PromptId(0); 3], &[0.0; 3]).is_err());
        assert!(groups.advantages(&[PromptId(0), PromptId(1)], &[0.0; 2]).is_err());
        assert!(GroupAdvantage::new(1).is_err());
    }
}
