//! A reward whose answers can be trusted to be finite and complete.

use ddpo_core::{Reward, RewardBatch};

use crate::Error;

/// Wraps a reward: as many prompts as images go in, as many finite numbers as images come out, or a clear error.
pub struct Checked<R>(R);

impl<R: Reward> Checked<R> {
    /// Checks every answer of `reward`.
    pub fn new(reward: R) -> Self {
        Self(reward)
    }
}

impl<R: Reward> Reward for Checked<R> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn unit(&self) -> Option<&str> {
        self.0.unit()
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let name = self.0.name();
        check_prompts(batch).map_err(|error| ddpo_core::Error::reward(name, error))?;
        let values = self.0.score(batch)?;
        check_values(&values, batch).map_err(|error| ddpo_core::Error::reward(name, error))?;
        Ok(values)
    }
}

fn check_prompts(batch: &RewardBatch<'_>) -> Result<(), Error> {
    let (prompts, images) = (batch.prompts.len(), batch.images.len());
    if prompts == images { Ok(()) } else { Err(Error::Prompts { prompts, images }) }
}

fn check_values(values: &[f32], batch: &RewardBatch<'_>) -> Result<(), Error> {
    let (found, wanted) = (values.len(), batch.images.len());
    if found != wanted {
        return Err(Error::Count { found, wanted });
    }
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(sample) => {
            let prompt = batch.prompts[sample].clone();
            Err(Error::NonFinite { sample, prompt, value: values[sample] })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use ddpo_core::RgbImage;

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
        let batch = RewardBatch { images: &images, prompts: &prompts };
        let message = match Checked::new(Scripted(answer.to_vec())).score(&batch) {
            Ok(values) => format!("{values:?}"),
            Err(error) => format!("{error}: {}", error.source().unwrap()),
        };
        assert_eq!(message, expect);
    }

    #[test]
    fn good_answers_pass_and_bad_ones_name_reward_and_sample() {
        check(&[1.0, -2.0], 2, "[1.0, -2.0]");
        check(&[1.0], 2, "reward `scripted` failed: score 2 images: 1 values found, 2 wanted");
        check(
            &[1.0, f32::NAN],
            2,
            "reward `scripted` failed: score sample 1 (prompt `dog`): NaN found, a finite number wanted",
        );
        check(&[1.0, 2.0], 3, "reward `scripted` failed: score a batch: 3 prompts found for 2 images, as many wanted");
    }
}
