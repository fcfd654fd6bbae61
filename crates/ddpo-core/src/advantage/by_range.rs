//! Advantages of several tasks: an estimator for the prompts of each.

use std::ops::Range;

use super::contract::{Advantage, AdvantageState, check};
use crate::{Error, PromptId, Result};

/// An estimator for each range of prompts, which sees the samples of those prompts and no others.
///
/// Prompts are told apart by their numbers, so that two tasks which ask for the same texts have numbers of their own and remember
/// rewards of their own.
pub struct AdvantageByRange {
    estimators: Vec<(Range<usize>, Box<dyn Advantage>)>,
}

impl AdvantageByRange {
    /// These estimators, each for the prompts whose numbers are in its range.
    ///
    /// # Errors
    /// [`Error::Parameter`] if the ranges do not follow one another from 0 on.
    pub fn new(estimators: Vec<(Range<usize>, Box<dyn Advantage>)>) -> Result<Self> {
        let mut end = 0;
        for (range, _) in &estimators {
            if range.start != end || range.is_empty() {
                return Err(Error::parameter(
                    "range of prompts",
                    format!("{range:?}"),
                    format!("one that begins at {end}"),
                ));
            }
            end = range.end;
        }
        Ok(Self { estimators })
    }
}

fn is_in(range: &Range<usize>, prompt: PromptId) -> bool {
    usize::try_from(prompt.0).is_ok_and(|number| range.contains(&number))
}

impl Advantage for AdvantageByRange {
    /// # Errors
    /// Those of the estimators; [`Error::Parameter`] for a prompt that is in no range.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        let mut advantages = vec![f32::NAN; rewards.len()];
        let mut left = rewards.len();
        for (range, estimator) in &mut self.estimators {
            let rows: Vec<usize> = (0..prompts.len()).filter(|&row| is_in(range, prompts[row])).collect();
            if rows.is_empty() {
                continue;
            }
            let own: Vec<PromptId> = rows.iter().map(|&row| prompts[row]).collect();
            let values: Vec<f32> = rows.iter().map(|&row| rewards[row]).collect();
            let found = estimator.advantages(&own, &values)?;
            left -= rows.len();
            rows.into_iter().zip(found).for_each(|(row, advantage)| advantages[row] = advantage);
        }
        match left {
            0 => Ok(advantages),
            left => Err(Error::parameter("samples", format!("{left} of prompts in no range"), "none")),
        }
    }

    fn state(&self) -> AdvantageState {
        self.estimators.iter().flat_map(|(_, estimator)| estimator.state()).collect()
    }

    fn restore(&mut self, state: AdvantageState) -> Result<()> {
        for (range, estimator) in &mut self.estimators {
            estimator.restore(state.iter().filter(|(prompt, _)| is_in(range, *prompt)).cloned().collect())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{BatchAdvantage, GroupAdvantage, PerPromptAdvantage};
    use super::*;

    fn ids(prompts: &[u64]) -> Vec<PromptId> {
        prompts.iter().copied().map(PromptId).collect()
    }

    fn by_range() -> AdvantageByRange {
        let per_prompt = Box::new(PerPromptAdvantage::new(4, 1).unwrap());
        AdvantageByRange::new(vec![(0..2, per_prompt), (2..3, Box::new(BatchAdvantage))]).unwrap()
    }

    #[test]
    fn each_task_has_an_estimator_of_its_own() {
        let mut both = by_range();
        // The second task's rewards are of another scale, and none of the first's.
        let found = both.advantages(&ids(&[2, 0, 2, 1]), &[100.0, 1.0, 300.0, 3.0]).unwrap();
        assert_eq!((found[0], found[2]), (-1.0, 1.0));
        let mut alone = PerPromptAdvantage::new(4, 1).unwrap();
        assert_eq!([found[1], found[3]], alone.advantages(&ids(&[0, 1]), &[1.0, 3.0]).unwrap()[..]);
        let groups = vec![(0..1, Box::new(GroupAdvantage::new(2).unwrap()) as Box<dyn Advantage>)];
        assert!(AdvantageByRange::new(groups).unwrap().advantages(&ids(&[0, 0, 0]), &[1.0; 3]).is_err());
    }

    #[test]
    fn what_is_remembered_belongs_to_its_task() {
        let (mut first, mut second) = (by_range(), by_range());
        first.advantages(&ids(&[0, 1, 0]), &[1.0, 5.0, 2.0]).unwrap();
        first.advantages(&ids(&[2, 2]), &[7.0, 9.0]).unwrap();
        second.restore(first.state()).unwrap();
        assert_eq!(first.state().len(), 2);
        let next = (ids(&[1, 0]), [4.0, 0.5]);
        assert_eq!(first.advantages(&next.0, &next.1).unwrap(), second.advantages(&next.0, &next.1).unwrap());
    }

    #[test]
    fn every_prompt_has_a_range_and_no_two() {
        assert!(by_range().advantages(&ids(&[3]), &[1.0]).is_err());
        let of = |ranges: [Range<usize>; 2]| {
            AdvantageByRange::new(ranges.map(|range| (range, Box::new(BatchAdvantage) as Box<dyn Advantage>)).into())
        };
        assert!(of([0..2, 1..3]).is_err() && of([1..2, 2..3]).is_err() && of([0..2, 2..2]).is_err());
    }
}
