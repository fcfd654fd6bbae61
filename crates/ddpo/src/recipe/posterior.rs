//! The reward of prompt alignment without another network: the base model's own posterior of the prompt.

use ddpo_core::classifier::{DiffusionClassifier, Elimination};
use ddpo_core::{Condition, Domain, Noise, NoiseSchedule, Reward, RewardBatch};
use ddpo_models::UnetDenoiser;

use crate::config::ClassifierOptions;
use crate::error::{Error, Result};
use crate::reward::RewardName;

use super::loaded::LoadedModel;

/// Where the pairs of timestep and noise come from: the same for every picture, so that a picture's value is its own.
const SEED: u64 = 0;

/// The logarithm of the base model's posterior of the prompt against distractor prompts (Li et al., arXiv 2303.16203),
/// in nats, at most 0. The posterior itself saturates at 0 and 1, where a policy could learn nothing from it.
pub(super) struct PosteriorReward {
    loaded: LoadedModel,
    denoiser: UnetDenoiser,
    schedule: NoiseSchedule,
    options: ClassifierOptions,
    prompts: Vec<String>,
    conditions: Condition,
}

impl PosteriorReward {
    /// The reward over the base model of `loaded`, which compares a prompt with others of `prompts`.
    pub fn new(loaded: &LoadedModel, options: &ClassifierOptions, prompts: &[String]) -> Result<Self> {
        let mut prompts = prompts.to_vec();
        prompts.sort();
        prompts.dedup();
        if prompts.len() < 2 {
            let reason = format!("{} prompt found, wanted at least 2 for `{}`", prompts.len(), RewardName::CLASSIFIER);
            return Err(Error::NoPrompts { reason });
        }
        Ok(Self {
            denoiser: loaded.pipeline().denoiser(),
            schedule: loaded.pipeline().scheduler.schedule()?,
            conditions: loaded.encode(&prompts)?,
            loaded: loaded.clone(),
            options: options.clone(),
            prompts,
        })
    }

    /// What the picture is compared with: its prompt first, then its distractors.
    fn candidates(&self, prompt: &str) -> Result<Condition> {
        let known = self.prompts.binary_search_by(|other| other.as_str().cmp(prompt));
        let place = known.unwrap_or_else(|place| place.min(self.prompts.len() - 1));
        let own = match known {
            Ok(place) => self.conditions.select(&[place])?,
            Err(_) => self.loaded.encode(&[prompt.to_owned()])?,
        };
        let others = distractors(place, self.prompts.len(), self.options.distractors);
        Ok(Condition::cat(&[own, self.conditions.select(&others)?])?)
    }

    fn values(&self, batch: &RewardBatch<'_>) -> Result<Vec<f32>> {
        let latents = self.loaded.encode_images(batch.images)?;
        let classifier = DiffusionClassifier {
            denoiser: &self.denoiser,
            schedule: &self.schedule,
            noise: Noise::new(SEED, Domain::Classification),
            first_timestep: self.options.first_timestep,
            batch: 32,
        };
        let value = |(row, prompt): (usize, &String)| -> Result<f32> {
            let clean = latents.clone().narrow(0, row, 1);
            let candidates = self.candidates(prompt)?;
            let trials = Elimination::none(self.options.trials);
            Ok(classifier.classify(&clean, &candidates, &trials)?.log_posterior()[0] as f32)
        };
        batch.prompts.iter().enumerate().map(value).collect()
    }
}

impl Reward for PosteriorReward {
    fn name(&self) -> &str {
        RewardName::CLASSIFIER
    }

    fn unit(&self) -> Option<&str> {
        Some("nats")
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        if batch.images.is_empty() {
            return Ok(Vec::new());
        }
        self.values(batch).map_err(|error| ddpo_core::Error::reward(self.name(), error))
    }
}

/// `count` other places of a list, evenly spread from the place after `place` on; all others where there are no more.
fn distractors(place: usize, len: usize, count: usize) -> Vec<usize> {
    let count = count.min(len - 1);
    (0..count).map(|i| (place + 1 + i * (len - 1) / count) % len).collect()
}

#[cfg(test)]
mod tests {
    use super::distractors;

    #[test]
    fn distractors_are_spread_and_never_the_prompt_itself() {
        assert_eq!(distractors(43, 45, 4), [44, 10, 21, 32]);
        for (len, count) in [(2, 1), (2, 9), (5, 4), (45, 8)] {
            for place in 0..len {
                let mut found = distractors(place, len, count);
                assert!(!found.contains(&place));
                found.sort();
                found.dedup();
                assert_eq!(found.len(), count.min(len - 1));
            }
        }
    }
}
