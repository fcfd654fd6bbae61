//! Measuring a model on prompts and seeds that training never uses, exactly as a run's own evaluation does.

use std::collections::BTreeMap;
use std::sync::Arc;

use ddpo_core::{
    Denoiser, Domain, Epoch, Guided, Noise, PromptId, Reduction, RewardBatch, RgbImage, RolloutRequest, SampleId,
    rollout,
};
use ddpo_rewards::{RewardContext, RewardPlan, mean_pairwise_distance, score_checked};
use ddpo_train::StopFlag;

use crate::config::SchedulerKind;
use crate::error::{Error, Result};

use super::loaded::{LoadedModel, to_pictures};

/// What to measure, and how.
#[derive(Clone, Debug)]
pub struct MeasureRequest {
    /// The prompts; image i has the prompt i modulo their number.
    pub prompts: Vec<String>,
    /// Images.
    pub count: usize,
    /// The rewards.
    pub rewards: Vec<RewardPlan>,
    /// Denoising steps.
    pub steps: usize,
    /// How noise becomes an image.
    pub scheduler: SchedulerKind,
    /// Share of the DDPM noise each DDIM step adds.
    pub eta: f64,
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
    /// Mean divergence of whole chains from the base model, in nats; 0 for the base model.
    pub kl_to_base: f64,
    /// Mean distance of the images from each other.
    pub diversity: f64,
}

/// Measures `model`; its divergence is from `base`, where that is given.
///
/// # Errors
///
/// Fails when the model or a reward fails, or `stop` is set.
pub fn measure(
    loaded: &LoadedModel,
    model: &dyn Denoiser<4>,
    base: Option<&dyn Denoiser<4>>,
    request: &MeasureRequest,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<Measurement> {
    let context = RewardContext::of(Arc::new(loaded.clone()), request.prompts.clone());
    let judges = request.rewards.iter().map(|reward| reward.open(&context)).collect::<Result<Vec<_>, _>>()?;
    let scheduler = loaded.scheduler(request.scheduler, request.steps, request.eta)?;
    let unconditional = loaded.encode_negative(&request.negative_prompt)?;
    let guided = Guided::new(model, unconditional.clone(), request.guidance)?;
    let base = base.map(|base| Guided::new(base, unconditional.clone(), request.guidance)).transpose()?;
    let conditions = loaded.encode(&request.prompts)?;
    let shape = loaded.latent_shape(request.size)?;
    let rows: Vec<usize> = (0..request.count).collect();
    let batch_size = request.batch_size.max(1);
    let total = rows.len().div_ceil(batch_size) * scheduler.timesteps().len();
    let (mut images, mut divergences, mut done) = (Vec::new(), Vec::new(), 0);
    for rows in rows.chunks(batch_size) {
        let prompts: Vec<usize> = rows.iter().map(|row| row % request.prompts.len()).collect();
        let request = RolloutRequest {
            shape,
            samples: &rows.iter().map(|row| SampleId(*row as u64)).collect::<Vec<_>>(),
            prompts: &prompts.iter().map(|prompt| PromptId(*prompt as u64)).collect::<Vec<_>>(),
            condition: &conditions.select(&prompts)?,
            noise: Noise::new(request.seed, Domain::Evaluation),
            epoch: Epoch(0),
            reduction: Reduction::Mean,
            device: loaded.device(),
        };
        let rollout = rollout(&guided, &*scheduler, &request, &mut |_| {
            done += 1;
            on_step(done, total);
        })?;
        if let Some(base) = &base {
            divergences.extend(rollout.kl(&guided, base, &*scheduler)?.into_iter().map(f64::from));
        }
        images.extend(to_pictures(&loaded.decode(rollout.last_state())?)?);
        if stop.is_set() {
            return Err(Error::Stopped);
        }
    }
    let prompts: Vec<String> = rows.iter().map(|row| request.prompts[row % request.prompts.len()].clone()).collect();
    let all = RewardBatch { images: &images, prompts: &prompts };
    let mut rewards = BTreeMap::new();
    for judge in &judges {
        rewards.insert(judge.name().to_owned(), score_checked(judge, &all, batch_size)?);
    }
    let kl_to_base = divergences.iter().sum::<f64>() / divergences.len().max(1) as f64;
    Ok(Measurement { diversity: mean_pairwise_distance(&images), images, prompts, rewards, kl_to_base })
}
