//! Measuring a model on prompts and seeds that training never uses, exactly as a run's own evaluation does.

use std::collections::BTreeMap;

use ddpo_core::distance::{DistanceMeasure, ModelDistance};
use ddpo_core::{
    Denoiser, Domain, Epoch, Noise, PromptId, Reduction, RewardBatch, RgbImage, Rollout, SampleId, Sampling,
};
use ddpo_rewards::{RewardPlan, mean_pairwise_distance, score_checked};
use ddpo_train::{BatchSampler, EncodedPrompts, Lanes, OpenModel, StopFlag};

use crate::config::SamplerPlan;
use crate::error::Result;
use crate::prompts::PromptList;

use super::assembly::lanes;
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
    let PromptList { texts, metadata } = &request.prompts;
    let context = context_of(loaded.base(), request.prompts.clone());
    let judges = request.rewards.iter().map(|reward| reward.open(&context)).collect::<Result<Vec<_>, _>>()?;
    let scheduler = loaded.scheduler(&request.sampler)?;
    let (conditions, unconditional) = loaded.encode_guided(texts, &request.negative_prompt)?;
    let encoded = EncodedPrompts::new(texts.clone(), conditions, unconditional.clone())?;
    let encoded = encoded.with_metadata(metadata.clone())?;
    let (shape, batch_size) = (loaded.latent_shape(request.size)?, request.batch_size.max(1));
    let ids: Vec<PromptId> = (0..request.count).map(|row| PromptId((row % encoded.count()) as u64)).collect();
    let chains: Vec<_> = (0..).map(SampleId).zip(ids.iter().copied()).collect();
    let open_base = base.map(|base| move || -> Box<dyn Denoiser<4> + '_> { Box::new(base) });
    let sampler = BatchSampler {
        sampling: Sampling {
            scheduler: &*scheduler,
            guidance: request.guidance,
            unconditional: &unconditional,
            shape,
            noise: Noise::new(request.seed, Domain::Evaluation),
            epoch: Epoch(0),
            reduction: Reduction::Mean,
            device: loaded.device(),
        },
        model: &|| Box::new(model),
        reference: open_base.as_ref().map(|open| open as OpenModel<'_, 4>),
        prompts: &encoded,
        batch: batch_size,
        lanes: &Lanes::new(lanes(loaded, batch_size, shape))?,
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
    let outcome = sampler.each(&chains, finish, on_step, |(pictures, divergence, distance)| {
        images.extend(pictures);
        divergences.extend(divergence);
        distances.extend(distance);
        Ok(())
    });
    outcome.map_err(|error| stopped_or(stop, error))?;
    let (prompts, metadata) = (encoded.texts(&ids), encoded.metadata(&ids));
    let all = RewardBatch::new(&images, &prompts).with_metadata(&metadata);
    let mut rewards = BTreeMap::new();
    for judge in &judges {
        rewards.insert(judge.name().to_owned(), score_checked(judge, &all, batch_size)?);
    }
    let unit = |judge: &ddpo_core::Judge| Some((judge.name().to_owned(), judge.unit()?.to_owned()));
    let units = judges.iter().filter_map(unit).collect();
    let kl_to_base = divergences.iter().sum::<f64>() / divergences.len().max(1) as f64;
    let as_asked = loaded.judge().map(|judge| judge.as_asked(&images, &prompts)).transpose()?;
    let distance = ModelDistance::mean(&distances).unwrap_or_default();
    let diversity = mean_pairwise_distance(&images);
    Ok(Measurement { diversity, as_asked, images, prompts, rewards, units, kl_to_base, distance })
}
