//! Pictures that were searched for: more computation a picture, and no training.

use burn::tensor::Tensor;
use ddpo_core::search::{Demon, DemonStep, Lookahead, Synthesis, Temperature, demon};
use ddpo_core::{
    Chains, Condition, Denoiser, Guided, Judge, PromptId, RewardBatch, RgbImage, Rollout, RolloutRequest, SampleId,
    Sampling,
};
use ddpo_rewards::RewardPlan;
use ddpo_train::{EncodedPrompts, Lanes, StopFlag};

use crate::config::SearchKind;
use crate::error::{Error, Result};
use crate::prompts::PromptList;

use super::assembly::lanes;
use super::drawing::Drawing;
use super::loaded::{LoadedModel, to_pictures};
use super::measure::{Judges, MeasureRequest, Measurement};
use super::rewards::context_of;
use super::sample::{SampleRequest, Sampled, stopped_or};

/// What is searched for, and how.
#[derive(Clone, Debug)]
pub struct SearchPlan {
    /// The kind of search.
    pub kind: SearchKind,
    /// What the pictures are to be worth.
    pub reward: RewardPlan,
    /// Candidates: whole pictures of [`SearchKind::BestOf`], of the others those of each step.
    pub candidates: usize,
    /// How much better a candidate must be to count for more.
    pub temperature: Temperature,
    /// How what a candidate of a step may become is guessed.
    pub lookahead: Lookahead,
    /// Noises that a picture may begin with, where candidates are those of steps; with 1 it is drawn plainly.
    pub starts: usize,
    /// The timestep below which steps are drawn plainly; 0 searches at all of them.
    pub last_timestep: f64,
}

/// What a search saw: a line of `search.jsonl`.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchRecord {
    /// The picture, from 0.
    pub image: usize,
    /// Its prompt.
    pub prompt: String,
    /// The step, from 0, and its timestep; none of a choice among whole pictures or among the noises that one begins with.
    pub step: Option<(usize, f64)>,
    /// The mean reward of the candidates.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// The best of them.
    pub best: f64,
    /// Rewards asked for.
    pub queries: usize,
}

/// A picture that was found.
struct Found {
    rollout: Rollout<4>,
    values: Tensor<4>,
    seen: Vec<DemonStep>,
}

/// Everything that looking for one picture needs.
struct Search<'a> {
    loaded: &'a LoadedModel,
    model: &'a (dyn Denoiser<4> + Sync),
    judge: &'a Judge,
    plan: &'a SearchPlan,
    batch: usize,
    stop: &'a StopFlag,
}

/// Searches for the pictures of `request`. The first candidate of everything is what the k-th picture of a prompt has without a search, and
/// with no other it is that picture. `on_step` hears of the steps done, of how many.
///
/// # Errors
///
/// Fails when the plan is impossible, when the model or the reward fails, and when `stop` is set.
pub fn search(
    loaded: &LoadedModel,
    model: &(dyn Denoiser<4> + Sync),
    request: &SampleRequest,
    plan: &SearchPlan,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<(Sampled, Vec<SearchRecord>)> {
    let judge = plan.open(loaded, request.prompts.clone().into())?;
    let drawing = request.drawing(loaded)?;
    let mut records = Vec::new();
    let search = Search { loaded, model, judge: &judge, plan, batch: request.batch_size.max(1), stop };
    let (rollouts, values) = search.all(&drawing, on_step, &mut records)?;
    Ok((Sampled::new(drawing, rollouts, values)?, records))
}

/// Searches for the pictures of a measurement, from the noise that [`measure`](super::measure::measure) draws them from, and measures them. Their
/// divergence and distance from the base model mean nothing, and are NaN and 0.
///
/// # Errors
///
/// As [`search`].
pub fn measure_search(
    loaded: &LoadedModel,
    model: &(dyn Denoiser<4> + Sync),
    request: &MeasureRequest,
    plan: &SearchPlan,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<(Measurement, Vec<SearchRecord>)> {
    let judge = plan.open(loaded, request.prompts.clone())?;
    let judges = Judges::open(loaded, request)?;
    let drawing = request.drawing(loaded)?;
    let mut records = Vec::new();
    let search = Search { loaded, model, judge: &judge, plan, batch: request.batch_size.max(1), stop };
    let (_, values) = search.all(&drawing, on_step, &mut records)?;
    let images = to_pictures(&Tensor::cat(values, 0))?;
    let measured = judges.measure(loaded, &drawing, images)?;
    Ok((Measurement { kl_to_base: f64::NAN, ..measured }, records))
}

fn record(image: usize, prompt: &str, seen: &DemonStep) -> SearchRecord {
    let step = seen.step.map(|(step, timestep)| (step.0, timestep.0));
    let DemonStep { mean, std, best, queries, .. } = *seen;
    SearchRecord { image, prompt: prompt.to_owned(), step, mean, std, best, queries }
}

fn refused(key: &'static str, found: &str, expected: &str) -> Error {
    Error::InvalidOption { key, found: found.to_owned(), expected: expected.to_owned() }
}

impl SearchPlan {
    /// What is searched for, of a plan that is possible.
    fn open(&self, loaded: &LoadedModel, prompts: PromptList) -> Result<Judge> {
        self.check()?;
        let judge = self.reward.open(&context_of(loaded.base(), prompts))?;
        if let Some(set) = judge.parts().into_iter().find(|part| matches!(part, Judge::Set { .. })) {
            let expected = "a reward of single pictures with --search, which chooses among the candidates of one";
            return Err(refused("--reward", set.name(), expected));
        }
        Ok(judge)
    }

    fn check(&self) -> Result<()> {
        if self.candidates == 0 {
            return Err(refused("--candidates", "0", "at least 1"));
        }
        if let Temperature::Fixed(value) = self.temperature
            && !(value > 0.0 && value.is_finite())
        {
            return Err(refused("--temperature", &value.to_string(), "adaptive, or a number above 0"));
        }
        Ok(())
    }

    /// The search of a step; none of whole pictures.
    fn demon(&self) -> Option<Demon> {
        let synthesis = match self.kind {
            SearchKind::BestOf => return None,
            SearchKind::Demon => Synthesis::Tanh(self.temperature),
            SearchKind::DemonBoltzmann => Synthesis::Boltzmann(self.temperature),
            SearchKind::DemonBest => Synthesis::Best,
        };
        let Self { candidates, lookahead, starts, last_timestep, .. } = *self;
        Some(Demon { candidates, synthesis, lookahead, starts, last_timestep })
    }
}

impl Search<'_> {
    /// The chains of all pictures of `drawing` and what they decode to, in their order. What was seen is added to `records`.
    fn all(
        &self,
        drawing: &Drawing<'_>,
        on_step: &mut dyn FnMut(usize, usize),
        records: &mut Vec<SearchRecord>,
    ) -> Result<(Vec<Rollout<4>>, Vec<Tensor<4>>)> {
        let texts = drawing.prompts.texts(&drawing.ids());
        let of_chain = OfDrawing { search: self, sampling: drawing.sampling(), prompts: &drawing.prompts };
        let (mut rollouts, mut values) = (Vec::new(), Vec::new());
        let (mut done, total) = (0, drawing.chains.len() * of_chain.steps());
        let outcome = Lanes::new(lanes(self.loaded, self.plan.candidates.min(self.batch), drawing.shape))?.each(
            drawing.chains.clone(),
            |_, chain, on_step| of_chain.find(chain, on_step),
            &mut || {
                done += 1;
                on_step(done, total);
            },
            |found: Found| {
                let image = rollouts.len();
                records.extend(found.seen.iter().map(|seen| record(image, &texts[image], seen)));
                rollouts.push(found.rollout);
                values.push(found.values);
                Ok(())
            },
        );
        outcome.map_err(|error: ddpo_core::Error| stopped_or(self.stop, error.into()))?;
        Ok((rollouts, values))
    }
}

/// A search among the chains of a drawing.
struct OfDrawing<'a> {
    search: &'a Search<'a>,
    sampling: Sampling<'a, 4>,
    prompts: &'a EncodedPrompts,
}

impl OfDrawing<'_> {
    /// The steps that looking for a picture reports.
    fn steps(&self) -> usize {
        let steps = self.sampling.scheduler.timesteps().len();
        match self.search.plan.kind {
            SearchKind::BestOf => self.search.plan.candidates.div_ceil(self.search.batch) * steps,
            _ => steps,
        }
    }

    fn find(&self, chain: (SampleId, PromptId), on_step: &mut dyn FnMut()) -> ddpo_core::Result<Found> {
        match self.search.plan.demon() {
            Some(demon) => self.by_steps(chain, &demon, on_step),
            None => self.by_pictures(chain, on_step),
        }
    }

    fn by_steps(
        &self,
        (sample, prompt): (SampleId, PromptId),
        search: &Demon,
        on_step: &mut dyn FnMut(),
    ) -> ddpo_core::Result<Found> {
        let sampling = &self.sampling;
        let model = Guided::new(self.search.model, sampling.unconditional.clone(), sampling.guidance)?;
        let condition = self.condition(&[prompt])?;
        let request = RolloutRequest {
            shape: sampling.shape,
            samples: &[sample],
            prompts: &[prompt],
            condition: &condition,
            noise: sampling.noise,
            epoch: sampling.epoch,
            reduction: sampling.reduction,
            device: sampling.device,
        };
        let mut value = |clean: &Tensor<4>, prompt: PromptId| Ok(self.judged(clean, prompt)?.0);
        let found = demon(&model, sampling.scheduler, &request, search, &mut value, &mut |_| on_step())?;
        let values = self.decoded(found.rollout.last_state())?;
        Ok(Found { values, rollout: found.rollout, seen: found.steps })
    }

    /// The best of whole chains: the first has the sample's own noise, the others that of samples far behind it.
    fn by_pictures(
        &self,
        (sample, prompt): (SampleId, PromptId),
        on_step: &mut dyn FnMut(),
    ) -> ddpo_core::Result<Found> {
        let samples: Vec<SampleId> =
            (0..self.search.plan.candidates as u64).map(|k| SampleId(sample.0 + (k << 32))).collect();
        let (mut best, mut rewards) = (None::<(f32, Found)>, Vec::new());
        for samples in samples.chunks(self.search.batch) {
            let prompts = vec![prompt; samples.len()];
            let condition = self.condition(&prompts)?;
            let chains = Chains { samples, prompts: &prompts, condition: &condition };
            let rollout = self.sampling.chains(self.search.model, chains, on_step)?;
            let (scores, values) = self.judged(rollout.last_state(), prompt)?;
            for (row, score) in scores.iter().enumerate() {
                // What has no score is better than nothing.
                let is_better =
                    best.as_ref().is_none_or(|(most, _)| *score > *most || most.is_nan() && !score.is_nan());
                if is_better {
                    let values = values.clone().narrow(0, row, 1);
                    best = Some((*score, Found { rollout: rollout.row(row)?, values, seen: Vec::new() }));
                }
            }
            rewards.extend(scores);
        }
        let (_, found) = best.ok_or_else(|| ddpo_core::Error::model("a search had no candidate"))?;
        Ok(Found { seen: vec![DemonStep::of(sample, &rewards)], ..found })
    }

    fn condition(&self, prompts: &[PromptId]) -> ddpo_core::Result<Condition> {
        self.prompts.condition(prompts).map_err(ddpo_core::Error::model)
    }

    fn decoded(&self, latents: &Tensor<4>) -> ddpo_core::Result<Tensor<4>> {
        self.search.loaded.decode(latents).map_err(ddpo_core::Error::model)
    }

    /// What clean latents of a prompt are worth, and their pictures.
    fn judged(&self, clean: &Tensor<4>, prompt: PromptId) -> ddpo_core::Result<(Vec<f32>, Tensor<4>)> {
        if self.search.stop.is_set() {
            return Err(ddpo_core::Error::model("the search was asked to stop"));
        }
        let values = self.decoded(clean)?;
        let images: Vec<RgbImage> = to_pictures(&values).map_err(ddpo_core::Error::model)?;
        let prompts = self.prompts.texts(&vec![prompt; images.len()]);
        let metadata = self.prompts.metadata(&vec![prompt; images.len()]);
        let batch = RewardBatch::new(&images, &prompts).with_metadata(&metadata);
        Ok((self.search.judge.assess(&batch, images.len())?.values, values))
    }
}
