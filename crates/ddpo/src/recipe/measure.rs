//! Measuring a model on prompts and seeds that training never uses, exactly as a run's own evaluation does.

use std::collections::BTreeMap;

use ddpo_core::distance::{DistanceMeasure, ModelDistance};
use ddpo_core::{Denoiser, Domain, Judge, Noise, PromptId, RewardBatch, RgbImage, Rollout, SampleId};
use ddpo_rewards::{RewardPlan, mean_pairwise_distance, score_checked};
use ddpo_train::{BatchSampler, Lanes, OpenModel, StopFlag};

use crate::config::{RunConfig, SamplerPlan};
use crate::error::Result;
use crate::prompts::PromptList;

use super::assembly::lanes;
use super::drawing::{Asked, Drawing};
use super::loaded::{LoadedModel, to_pictures};
use super::rewards::context_of;
use super::sample::stopped_or;

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct MeasureRequest {
    /// The prompts; image i has the prompt i modulo their number.
    pub prompts: PromptList,
    /// Images.
    pub count: usize,
    /// The rewards.
    pub rewards: Vec<RewardPlan>,
    /// How noise becomes an image.
    pub sampler: SamplerPlan,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// What guidance steers away from.
    pub negative_prompt: String,
    /// Seed of the evaluation's noise.
    pub seed: u64,
    /// Images that are denoised together; changes no number.
    pub batch_size: usize,
    /// Image height and width in pixels; `None`: the model's own.
    pub size: [Option<usize>; 2],
}

/// What a model's images are worth.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// The images.
    pub images: Vec<RgbImage>,
    /// The prompt of each.
    pub prompts: Vec<String>,
    /// The value of each image, by reward.
    pub rewards: BTreeMap<String, Vec<f32>>,
    /// What the rewards that have a unit count, by reward.
    pub units: BTreeMap<String, String>,
    /// Mean divergence of whole chains from the base model, in nats; 0 for the base model, NaN for another one where the sampler
    /// draws nothing.
    pub kl_to_base: f64,
    /// Distance of the model from the base model on the images, whatever the sampler; 0 for the base model.
    pub distance: ModelDistance,
    /// Mean distance of the images from each other.
    pub diversity: f64,
    /// Whether each image shows what its prompt names, where the model comes with a judge and the prompt names something it
    /// knows.
    pub as_asked: Option<Vec<Option<bool>>>,
}

impl MeasureRequest {
    /// What a run's own evaluation draws, of these prompts and for these rewards.
    pub fn of(config: &RunConfig, prompts: PromptList, rewards: Vec<RewardPlan>) -> Self {
        let (sample, eval) = (&config.sample, &config.eval);
        Self {
            prompts,
            count: eval.count,
            rewards,
            sampler: sample.sampler(),
            guidance: sample.guidance,
            negative_prompt: sample.negative_prompt.clone(),
            seed: eval.seed,
            batch_size: sample.batch_size,
            size: [sample.height, sample.width],
        }
    }

    /// The chains: prompts in turns, each picture with noise of its own.
    pub(super) fn drawing<'a>(&self, loaded: &'a LoadedModel) -> Result<Drawing<'a>> {
        let asked = Asked {
            prompts: self.prompts.clone(),
            negative_prompt: &self.negative_prompt,
            sampler: &self.sampler,
            guidance: self.guidance,
            noise: Noise::new(self.seed, Domain::Evaluation),
            size: self.size,
        };
        let prompts = self.prompts.len().max(1) as u64;
        Drawing::new(
            loaded,
            asked,
            (0..self.count as u64).map(|row| (SampleId(row), PromptId(row % prompts))).collect(),
        )
    }
}

/// Measures `model`; its divergence is from `base`, where that is given.
///
/// # Errors
///
/// Fails when the model or a reward fails, or `stop` is set.
pub fn measure(
    loaded: &LoadedModel,
    model: &(dyn Denoiser<4> + Sync),
    base: Option<&(dyn Denoiser<4> + Send + Sync)>,
    request: &MeasureRequest,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<Measurement> {
    let judges = Judges::open(loaded, request)?;
    let drawing = request.drawing(loaded)?;
    let batch_size = request.batch_size.max(1);
    let open_base = base.map(|base| move || -> Box<dyn Denoiser<4> + '_> { Box::new(base) });
    let sampler = BatchSampler {
        sampling: drawing.sampling(),
        model: &|| Box::new(model),
        reference: open_base.as_ref().map(|open| open as OpenModel<'_, 4>),
        prompts: &drawing.prompts,
        batch: batch_size,
        lanes: &Lanes::new(lanes(loaded, batch_size, drawing.shape))?,
        stop,
    };
    let (mut images, mut divergences, mut distances) = (Vec::new(), Vec::new(), Vec::new());
    let schedule = loaded.pipeline().scheduler.schedule()?;
    let noise = Noise::new(request.seed, Domain::Evaluation);
    let measure = DistanceMeasure { schedule: &schedule, noise, draws: DistanceMeasure::DRAWS };
    let finish = |rollout: Rollout<4>, divergence: Vec<f64>| -> ddpo_train::Result<_> {
        let values = loaded.decode(rollout.last_state()).and_then(|values| to_pictures(&values));
        let between = |base: &(dyn Denoiser<4> + Send + Sync)| {
            measure.between(model, base, rollout.last_state(), rollout.condition(), rollout.samples())
        };
        let distances = base.map(between).transpose()?.unwrap_or_default();
        Ok((values.map_err(ddpo_core::Error::model)?, divergence, distances))
    };
    let outcome = sampler.each(&drawing.chains, finish, on_step, |(pictures, divergence, distance)| {
        images.extend(pictures);
        divergences.extend(divergence);
        distances.extend(distance);
        Ok(())
    });
    outcome.map_err(|error| stopped_or(stop, error))?;
    let kl_to_base = divergences.iter().sum::<f64>() / divergences.len().max(1) as f64;
    let distance = ModelDistance::mean(&distances).unwrap_or_default();
    Ok(Measurement { kl_to_base, distance, ..judges.measure(loaded, &drawing, images)? })
}

/// What pictures are measured by.
pub(super) struct Judges {
    rewards: Vec<Judge>,
    batch: usize,
}

impl Judges {
    /// Those of `request`.
    pub fn open(loaded: &LoadedModel, request: &MeasureRequest) -> Result<Self> {
        let context = context_of(loaded.base(), request.prompts.clone());
        let rewards = request.rewards.iter().map(|reward| reward.open(&context)).collect::<Result<_, _>>()?;
        Ok(Self { rewards, batch: request.batch_size.max(1) })
    }

    /// What the pictures of `drawing` are worth, whatever drew them.
    pub fn measure(&self, loaded: &LoadedModel, drawing: &Drawing<'_>, images: Vec<RgbImage>) -> Result<Measurement> {
        let ids = drawing.ids();
        let (prompts, metadata) = (drawing.prompts.texts(&ids), drawing.prompts.metadata(&ids));
        let all = RewardBatch::new(&images, &prompts).with_metadata(&metadata);
        let (mut rewards, mut units) = (BTreeMap::new(), BTreeMap::new());
        for judge in &self.rewards {
            rewards.insert(judge.name().to_owned(), score_checked(judge, &all, self.batch)?);
            units.extend(judge.unit().map(|unit| (judge.name().to_owned(), unit.to_owned())));
        }
        let as_asked = loaded.judge().map(|judge| judge.as_asked(&images, &prompts)).transpose()?;
        let diversity = mean_pairwise_distance(&images);
        let distance = ModelDistance::default();
        Ok(Measurement { images, prompts, rewards, units, kl_to_base: 0.0, distance, diversity, as_asked })
    }
}
