//! Scoring outside of a run, where an answer that is not finite has nobody to decide about it.

use ddpo_core::{Assessment, Judge, RewardBatch};

use crate::Error;

/// One number per image: as many prompts as images go in, as many finite numbers as images come out, or a clear error. A
/// run does without it, since it has a policy of its own for a number that is not finite and knows where in the run it is.
///
/// ```
/// use ddpo_core::{Judge, RewardBatch, RgbImage};
/// use ddpo_rewards::{JpegIncompressibility, score_checked};
///
/// let judge = Judge::Image(Box::new(JpegIncompressibility));
/// let images = [RgbImage::new(64, 64, vec![128; 64 * 64 * 3])?];
/// assert_eq!(score_checked(&judge, &RewardBatch::new(&images, &["cat".to_owned()]), 16)?, [0.689]);
/// # Ok::<(), ddpo_core::Error>(())
/// ```
///
/// # Errors
/// Those of the reward and of its judge; [`Error::NonFinite`] behind [`ddpo_core::Error::Reward`].
pub fn score_checked(judge: &Judge, all: &RewardBatch<'_>, size: usize) -> ddpo_core::Result<Vec<f32>> {
    Ok(assess_checked(judge, all, size)?.values)
}

/// The same with all that the reward says. An image that its own policy leaves out is NaN.
///
/// # Errors
/// Those of [`score_checked`].
pub fn assess_checked(judge: &Judge, all: &RewardBatch<'_>, size: usize) -> ddpo_core::Result<Assessment> {
    let said = judge.assess(all, size)?;
    let is_stray = |row: &usize| !said.values[*row].is_finite() && !said.left_out.contains(row);
    match (0..said.values.len()).find(is_stray) {
        None => Ok(said),
        Some(sample) => {
            let prompt = all.prompts[sample].clone();
            let error = Error::NonFinite { sample, prompt, value: said.values[sample] };
            Err(ddpo_core::Error::reward(judge.name(), error))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use ddpo_core::{Reward, RgbImage};

    use super::*;

    struct Scripted(Vec<f32>);

    impl Reward for Scripted {
        fn name(&self) -> &str {
            "scripted"
        }

        fn score(&self, _: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
            Ok(self.0.clone())
        }
    }

    #[track_caller]
    fn check(answer: &[f32], prompts: usize, expect: &str) {
        let images = vec![RgbImage::new(1, 1, vec![0; 3]).unwrap(); 2];
        let prompts: Vec<String> = ["cat", "dog", "cow"][..prompts].iter().map(ToString::to_string).collect();
        let batch = RewardBatch::new(&images, &prompts);
        let message = match score_checked(&Judge::Image(Box::new(Scripted(answer.to_vec()))), &batch, 2) {
            Ok(values) => format!("{values:?}"),
            Err(error) => [error.to_string()]
                .into_iter()
                .chain(error.source().map(ToString::to_string))
                .collect::<Vec<_>>()
                .join(": "),
        };
        assert_eq!(message, expect);
    }

    #[test]
    fn good_answers_pass_and_bad_ones_name_the_sample() {
        check(&[1.0, -2.0], 2, "[1.0, -2.0]");
        check(&[1.0], 2, "the reward `scripted` gave 1 value for 2 images");
        check(
            &[1.0, f32::NAN],
            2,
            "reward `scripted` failed: score sample 1 (prompt `dog`): NaN found, a finite number wanted",
        );
        check(&[1.0, 2.0], 3, "score images: 3 prompts found, 2 wanted");
    }
}
