//! What rewards say of all pictures, as training and people take it.

use std::collections::BTreeMap;

use ddpo_core::Assessment;

use super::evidence::{Evidence, non_finite};
use crate::error::{Error, Result};
use crate::events::{Event, Remark, Remarks, Stage};
use crate::observer::Observer;

/// One finite reward a picture.
#[derive(Default)]
pub(super) struct Scores {
    /// What people read.
    pub reported: Vec<f32>,
    /// What training maximises.
    pub optimised: Vec<f32>,
    /// Of a sum, what its terms add to that.
    pub terms: Vec<Vec<f32>>,
    /// The pictures without a reward of their own: theirs is the mean of the others of their prompt, or of all.
    pub left_out: Vec<usize>,
    /// The mean of each part of the reward, over the pictures that have one.
    pub parts: BTreeMap<String, f64>,
}

impl Scores {
    /// What a reward says, where `evidence` says which of its numbers are passed over.
    ///
    /// # Errors
    /// [`Error::NonFinite`] where no picture has a reward.
    pub fn new(said: Assessment, evidence: &Evidence, epoch: u64, prompts: &[String]) -> Result<Self> {
        let is_left_out = |&row: &usize| {
            evidence.left_out.contains(&row) && !said.values[row].is_finite() || said.left_out.contains(&row)
        };
        let left_out: Vec<usize> = (0..said.values.len()).filter(is_left_out).collect();
        let filled = |values: &[f32]| {
            let values = fill(values.to_vec(), &left_out, prompts);
            match values.iter().position(|value| !value.is_finite()) {
                // Where no reward is finite there is nothing to fill with.
                Some(row) => Err(non_finite(values[row], epoch, row, &prompts[row])),
                None => Ok(values),
            }
        };
        let (reported, optimised) = (filled(&said.values)?, filled(said.optimised())?);
        let terms = said.terms.iter().map(|values| filled(values)).collect::<Result<_>>()?;
        let parts = said.parts.iter().map(|(name, values)| (name.clone(), finite_mean(values))).collect();
        Ok(Self { reported, optimised, terms, left_out, parts })
    }
}

/// Tells people what a reward says in words, and what went wrong on its way.
pub(super) fn tell(
    reward: &str,
    said: &Assessment,
    epoch: u64,
    stage: Stage,
    prompts: &[String],
    observer: &mut Observer<'_>,
) {
    for message in &said.warnings {
        let (reward, message) = (reward.to_owned(), message.clone());
        observer.event(&Event::Warning(&Error::RewardWarning { reward, epoch, message }));
    }
    let remark = |(row, text): &(usize, String)| Remark {
        sample: *row,
        prompt: prompts.get(*row).cloned().unwrap_or_default(),
        value: said.values.get(*row).copied().unwrap_or(f32::NAN),
        text: text.clone(),
    };
    let remarks: Vec<Remark> = said.remarks.iter().map(remark).collect();
    if !remarks.is_empty() {
        observer.event(&Event::Remarks(Remarks { reward, epoch, stage, remarks: &remarks }));
    }
}

/// Puts a reward that moves no mean in the place of each which is left out.
fn fill(mut rewards: Vec<f32>, left_out: &[usize], prompts: &[String]) -> Vec<f32> {
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    let mut all = (0.0, 0.0);
    for (&reward, prompt) in rewards.iter().zip(prompts).filter(|(reward, _)| reward.is_finite()) {
        let sum = sums.entry(prompt).or_default();
        for (total, count) in [sum, &mut all] {
            *total += f64::from(reward);
            *count += 1.0;
        }
    }
    for &row in left_out {
        let (total, count) = sums.get(prompts[row].as_str()).copied().unwrap_or(all);
        rewards[row] = (total / count) as f32;
    }
    rewards
}

/// The mean of the numbers there are; NaN for none.
pub(super) fn finite_mean(values: &[f32]) -> f64 {
    let finite = values.iter().filter(|value| value.is_finite());
    let (sum, count) = finite.fold((0.0, 0.0), |(sum, count), &value| (sum + f64::from(value), count + 1.0));
    sum / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::NonFinitePolicy;

    #[test]
    fn what_is_left_out_moves_no_mean() {
        let prompts = ["a", "a", "b", "a", "c"].map(String::from);
        let rewards = vec![1.0, f32::NAN, 7.0, 3.0, f32::INFINITY];
        assert_eq!(fill(rewards, &[1, 4], &prompts), [1.0, 2.0, 7.0, 3.0, 11.0 / 3.0]);
    }

    #[test]
    fn nothing_can_be_learnt_where_no_picture_has_a_reward() {
        let evidence = Evidence::new(3, NonFinitePolicy::Skip);
        let prompts = ["a", "b"].map(String::from);
        let error = Scores::new(Assessment::none(2), &evidence, 3, &prompts).err().unwrap().to_string();
        assert_eq!(error, "the reward is NaN in epoch 3, sample 0, prompt `a`, wanted a finite number");
    }
}
