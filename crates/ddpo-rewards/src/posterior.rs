//! The reward of prompt alignment without another network: the base model's own posterior of the prompt.

use std::sync::Arc;

use ddpo_core::classifier::{DiffusionClassifier, Elimination};
use ddpo_core::{Condition, Denoiser, Domain, Judge, Noise, NoiseSchedule, Reward, RewardBatch};
use toml::Table;

use crate::options::{reward_options, within};
use crate::{BaseModel, Error, OptionSpec, Result, RewardContext, RewardFactory, read_options};

const KIND: &str = PosteriorOptions::KIND;

/// Where the pairs of timestep and noise come from: the same for every picture, so that a picture's value is its own.
const SEED: u64 = 0;

/// Rows of a forward pass; changes no number.
const BATCH: usize = 32;

reward_options! {
    /// How the base model compares the prompt of a picture with others.
    PosteriorOptions {
        /// Other prompts of the run that the prompt is compared with.
        distractors: usize = 4;
        /// Pairs of timestep and noise at which they are compared.
        trials: usize = 8;
        /// The least timestep of the pairs: at little noise, errors are about details and not about what is shown.
        first_timestep: usize = 0;
    }
}

impl PosteriorOptions {
    /// The name of the kind that has them, and of its rewards.
    pub const KIND: &'static str = "diffusion-classifier";
}

/// Makes [`PosteriorReward`].
pub struct PosteriorFactory;

impl RewardFactory for PosteriorFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "how sure the base model is of the prompt, and not of others: ln p(prompt | picture), in nats"
    }

    fn options(&self) -> &[OptionSpec] {
        PosteriorOptions::SPECS
    }

    fn check(&self, options: &Table) -> Result<String> {
        let options: PosteriorOptions = read_options(KIND, options)?;
        within(KIND, "distractors", options.distractors as u64, 1..=1 << 16)?;
        within(KIND, "trials", options.trials as u64, 1..=1 << 16)?;
        Ok(KIND.to_owned())
    }

    fn check_context(&self, _: &Table, context: &RewardContext) -> Result<()> {
        several(context.prompts.clone()).map(drop)
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let base = context.base.clone().ok_or_else(|| Error::NeedsModel { kind: KIND.to_owned() })?;
        let reward = PosteriorReward::new(base, read_options(KIND, options)?, context.prompts.clone())?;
        Ok(Judge::Image(Box::new(reward)))
    }
}

/// The prompts in order, each once; two at least.
fn several(mut prompts: Vec<String>) -> Result<Vec<String>> {
    prompts.sort();
    prompts.dedup();
    match prompts.len() {
        0 | 1 => Err(Error::FewPrompts { kind: KIND.to_owned(), found: prompts.len() }),
        _ => Ok(prompts),
    }
}

/// The logarithm of the base model's posterior of the prompt against distractor prompts (Li et al., arXiv 2303.16203),
/// in nats, at most 0. The posterior itself saturates at 0 and 1, where a policy could learn nothing from it.
pub struct PosteriorReward {
    base: Arc<dyn BaseModel>,
    denoiser: Box<dyn Denoiser<4> + Send + Sync>,
    schedule: NoiseSchedule,
    options: PosteriorOptions,
    prompts: Vec<String>,
    conditions: Condition,
}

impl PosteriorReward {
    /// The reward over a base model, which compares a prompt with others of `prompts`.
    ///
    /// # Errors
    /// [`Error::FewPrompts`] with fewer than two different prompts, and those of the model.
    pub fn new(base: Arc<dyn BaseModel>, options: PosteriorOptions, prompts: Vec<String>) -> Result<Self> {
        let prompts = several(prompts)?;
        Ok(Self {
            denoiser: base.denoiser(),
            schedule: base.schedule()?,
            conditions: base.encode_prompts(&prompts)?,
            base,
            options,
            prompts,
        })
    }

    /// What the picture is compared with: its prompt first, then its distractors.
    fn candidates(&self, prompt: &str) -> ddpo_core::Result<Condition> {
        let known = self.prompts.binary_search_by(|other| other.as_str().cmp(prompt));
        let place = known.unwrap_or_else(|place| place.min(self.prompts.len() - 1));
        let own = match known {
            Ok(place) => self.conditions.select(&[place])?,
            Err(_) => self.base.encode_prompts(&[prompt.to_owned()])?,
        };
        let others = distractors(place, self.prompts.len(), self.options.distractors);
        Condition::cat(&[own, self.conditions.select(&others)?])
    }

    fn values(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        let latents = self.base.encode_images(batch.images)?;
        let classifier = DiffusionClassifier {
            denoiser: &*self.denoiser,
            schedule: &self.schedule,
            noise: Noise::new(SEED, Domain::Classification),
            first_timestep: self.options.first_timestep,
            batch: BATCH,
        };
        let value = |(row, prompt): (usize, &String)| -> ddpo_core::Result<f32> {
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
        KIND
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
