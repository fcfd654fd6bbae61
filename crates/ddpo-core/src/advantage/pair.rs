//! Advantages within pairs: which of two samples of one prompt is better, and nothing of by how much.

use super::contract::{Advantage, check};
use crate::{Error, PromptId, Result};

/// 1 for the better of two consecutive samples and −1 for the other. Where they are equal both have 0: a tie says nothing, and is
/// nobody's win.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairAdvantage;

impl Advantage for PairAdvantage {
    /// # Errors
    /// [`Error::Parameter`] if the samples do not fill pairs, or a pair mixes prompts.
    fn advantages(&mut self, prompts: &[PromptId], rewards: &[f32]) -> Result<Vec<f32>> {
        check(prompts, rewards)?;
        if !rewards.len().is_multiple_of(2) {
            return Err(Error::parameter("samples", rewards.len(), "an even number, two a pair"));
        }
        if let Some(mixed) = prompts.chunks(2).position(|pair| pair.iter().any(|prompt| *prompt != pair[0])) {
            return Err(Error::parameter("pair", format!("number {mixed} with two prompts"), "one prompt a pair"));
        }
        let sign = |[first, second]: [f32; 2]| f32::from(i8::from(first > second) - i8::from(first < second));
        Ok(rewards.chunks(2).flat_map(|pair| [sign([pair[0], pair[1]]), sign([pair[1], pair[0]])]).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_one_wins_whatever_by_and_a_tie_is_nobodys() {
        let prompts = [0, 0, 1, 1, 0, 0].map(PromptId);
        let advantages = PairAdvantage.advantages(&prompts, &[1.0, 3.0, 100.0, 99.0, 2.5, 2.5]).unwrap();
        assert_eq!(advantages, [-1.0, 1.0, 1.0, -1.0, 0.0, 0.0]);
    }

    #[test]
    fn pairs_that_do_not_fit_are_refused() {
        assert!(PairAdvantage.advantages(&[PromptId(0); 3], &[0.0; 3]).is_err());
        assert!(PairAdvantage.advantages(&[PromptId(0), PromptId(1)], &[0.0; 2]).is_err());
        assert!(PairAdvantage.advantages(&[PromptId(0)], &[0.0; 2]).is_err());
    }
}
