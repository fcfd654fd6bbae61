//! The reward of prompt alignment without another network: the base model's own posterior of the prompt.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ddpo_core::classifier::{DiffusionClassifier, Elimination};
use ddpo_core::{Condition, Denoiser, Domain, Judge, Noise, NoiseSchedule, Reward, RewardBatch};
use serde::{Deserialize, Serialize};
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
        /// Other prompts of the run that the prompt is compared with, first those that share words with it; 0: the empty prompt in their place.
        distractors: usize = 4;
        /// Pairs of timestep and noise at which they are compared.
        trials: usize = 8;
        /// The least timestep of the pairs: at little noise, errors are about details and not about what is shown.
        first_timestep: usize = 0;
        /// What the reward is: the "log-posterior" of the prompt, at most 0, or its "log-odds" against the distractors, which have no end: a picture that is surely of its prompt can still gain.
        value: PosteriorValue = PosteriorValue::LogPosterior;
    }
}

/// What is rewarded about a posterior p, in nats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PosteriorValue {
    /// ln p.
    LogPosterior,
    /// ln p − ln (1 − p).
    LogOdds,
}

impl PosteriorValue {
    /// The value of the first of several classes, from the logarithms of all their posteriors.
    fn of_first(self, log_posterior: &[f64]) -> f64 {
        match (self, log_posterior) {
            (Self::LogOdds, [own, others @ ..]) => {
                let most = others.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                own - most - others.iter().map(|other| (other - most).exp()).sum::<f64>().ln()
            }
            (_, all) => all[0],
        }
    }
}

impl PosteriorOptions {
    /// The name of the kind that has them, and of its rewards.
    pub const KIND: &'static str = "diffusion-classifier";

    /// The most texts that a picture is compared with, its own prompt among them.
    pub fn candidates(&self) -> usize {
        1 + self.distractors.max(1)
    }

    /// The prompts in order, each once; two at least, unless the empty prompt is the other.
    fn distinct(&self, mut prompts: Vec<String>) -> Result<Vec<String>> {
        prompts.sort();
        prompts.dedup();
        if prompts.is_empty() || prompts.len() == 1 && self.distractors > 0 {
            return Err(Error::FewPrompts { kind: KIND.to_owned(), found: prompts.len() });
        }
        Ok(prompts)
    }
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
        within(KIND, "distractors", options.distractors as u64, 0..=1 << 16)?;
        within(KIND, "trials", options.trials as u64, 1..=1 << 16)?;
        Ok(KIND.to_owned())
    }

    fn check_context(&self, options: &Table, context: &RewardContext) -> Result<()> {
        base_of(context)?;
        let options: PosteriorOptions = read_options(KIND, options)?;
        options.distinct(context.prompts.clone()).map(drop)
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let base = base_of(context)?.clone();
        let reward = PosteriorReward::new(base, read_options(KIND, options)?, context.prompts.clone())?;
        Ok(Judge::Image(Box::new(reward)))
    }
}

fn base_of(context: &RewardContext) -> Result<&Arc<dyn BaseModel>> {
    context.base.as_ref().ok_or_else(|| Error::NeedsModel { kind: KIND.to_owned() })
}

/// The logarithm of the base model's posterior of the prompt against distractor prompts (Li et al., arXiv 2303.16203),
/// in nats, at most 0, or its log-odds. The posterior itself saturates at 0 and 1, where a policy could learn nothing from it.
pub struct PosteriorReward {
    base: Arc<dyn BaseModel>,
    denoiser: Box<dyn Denoiser<4> + Send + Sync>,
    schedule: NoiseSchedule,
    options: PosteriorOptions,
    prompts: Vec<String>,
    /// The words of each prompt.
    words: Vec<BTreeSet<String>>,
    conditions: Condition,
    /// What prompts are compared with where it is none of the others.
    empty: Option<Condition>,
}

impl PosteriorReward {
    /// The reward over a base model, which compares a prompt with others of `prompts`.
    ///
    /// # Errors
    /// [`Error::FewPrompts`] with fewer than two different prompts, one if the empty prompt is the other, and those of the model.
    pub fn new(base: Arc<dyn BaseModel>, options: PosteriorOptions, prompts: Vec<String>) -> Result<Self> {
        let prompts = options.distinct(prompts)?;
        let empty = (options.distractors == 0).then(|| base.encode_prompts(&[String::new()])).transpose()?;
        Ok(Self {
            denoiser: base.denoiser(),
            schedule: base.schedule()?,
            conditions: base.encode_prompts(&prompts)?,
            empty,
            base,
            options,
            words: prompts.iter().map(|prompt| words(prompt)).collect(),
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
        if let Some(empty) = &self.empty {
            return Condition::cat(&[own, empty.clone()]);
        }
        let others = distractors(&shared_words(prompt, &self.words), place, self.options.distractors);
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
            let log_posterior = classifier.classify(&clean, &candidates, &trials)?.log_posterior();
            Ok(self.options.value.of_first(&log_posterior) as f32)
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

/// The words of a prompt, each once, whatever their case.
fn words(prompt: &str) -> BTreeSet<String> {
    prompt.split_whitespace().map(str::to_lowercase).collect()
}

/// How many words of a prompt each of the others has, of the words that no more than half of them have.
///
/// What is said in most prompts, as "a" and "and" in compositions, makes no two of them alike.
fn shared_words(prompt: &str, others: &[BTreeSet<String>]) -> Vec<usize> {
    let have = |word: &String| others.iter().filter(|other| other.contains(word)).count();
    let telling: BTreeSet<String> = words(prompt).into_iter().filter(|word| 2 * have(word) <= others.len()).collect();
    others.iter().map(|other| other.intersection(&telling).count()).collect()
}

/// `count` other places of a list: those that share most first, of those that share as much an even spread from the place
/// after `place` on; all others where there are no more.
fn distractors(shared: &[usize], place: usize, count: usize) -> Vec<usize> {
    let mut alike: BTreeMap<Reverse<usize>, Vec<usize>> = BTreeMap::new();
    for other in (1..shared.len()).map(|step| (place + step) % shared.len()) {
        alike.entry(Reverse(shared[other])).or_default().push(other);
    }
    let mut found = Vec::new();
    for others in alike.into_values() {
        let count = others.len().min(count - found.len());
        found.extend((0..count).map(|i| others[i * others.len() / count]));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{PosteriorValue, distractors, shared_words, words};

    #[test]
    fn distractors_are_spread_and_never_the_prompt_itself() {
        assert_eq!(distractors(&[0; 45], 43, 4), [44, 10, 21, 32]);
        for (len, count) in [(2, 1), (2, 9), (5, 4), (45, 8)] {
            for place in 0..len {
                let mut found = distractors(&vec![0; len], place, count);
                assert!(!found.contains(&place));
                found.sort();
                found.dedup();
                assert_eq!(found.len(), count.min(len - 1));
            }
        }
    }

    #[test]
    fn log_odds_tell_apart_what_a_posterior_rounds_to_one() {
        let log_posterior = [0.7_f64.ln(), 0.1_f64.ln(), 0.2_f64.ln()];
        assert!((PosteriorValue::LogOdds.of_first(&log_posterior) - (0.7_f64 / 0.3).ln()).abs() < 1e-12);
        assert_eq!(PosteriorValue::LogPosterior.of_first(&log_posterior), 0.7_f64.ln());
        assert!((PosteriorValue::LogOdds.of_first(&[0.0, -50.0, -60.0]) - 50.0).abs() < 1e-4);
    }

    #[test]
    fn a_prompt_is_compared_first_with_those_that_share_a_part_of_it() {
        let prompts: Vec<BTreeSet<String>> = ["cat", "dog", "fox"]
            .iter()
            .flat_map(|animal| ["book", "car", "tree"].map(|thing| words(&format!("a {animal} and a {thing}"))))
            .collect();
        let shared = shared_words("a dog and a car", &prompts);
        assert_eq!(shared, [0, 1, 0, 1, 2, 1, 0, 1, 0]);
        // The other things beside a dog, and the other animals beside a car; then any.
        let mut first = distractors(&shared, 4, 4);
        first.sort();
        assert_eq!(first, [1, 3, 5, 7]);
        assert_eq!(distractors(&shared, 4, 6).len(), 6);
        assert_eq!(distractors(&shared, 4, 60).len(), 8);
        // Where no word tells prompts apart, they are as strange to each other as single words are.
        assert_eq!(shared_words("cat", &["cat", "dog", "fox"].map(words)), [1, 0, 0]);
    }
}
