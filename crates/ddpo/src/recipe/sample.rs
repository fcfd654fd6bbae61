//! Drawing images on request.

use burn::tensor::Tensor;
use ddpo_core::{Condition, Denoiser, Domain, Noise, PromptId, RgbImage, Rollout, SampleId};
use ddpo_train::{BatchSampler, Lanes, StopFlag};

use crate::config::SamplerPlan;
use crate::error::{Error, Result};

use super::assembly::lanes;
use super::drawing::{Asked, Drawing};
use super::loaded::{LoadedModel, to_pictures};

/// What to draw, and how.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    /// The prompts.
    pub prompts: Vec<String>,
    /// Images of each.
    pub count: usize,
    /// How noise becomes an image.
    pub sampler: SamplerPlan,
    /// Classifier-free guidance; 1 switches it off.
    pub guidance: f64,
    /// What guidance steers away from.
    pub negative_prompt: String,
    /// Seed of the noise. The k-th image of every prompt has the same noise.
    pub seed: u64,
    /// Images that are denoised together; changes no image.
    pub batch_size: usize,
    /// Image height and width in pixels; `None`: the model's own.
    pub size: [Option<usize>; 2],
}

/// Images with all that led to them.
#[derive(Debug)]
pub struct Sampled {
    /// The prompt of each image.
    pub prompts: Vec<String>,
    /// The images as an encoder takes them.
    pub images: Vec<RgbImage>,
    /// The same before rounding, `[N, H, W, 3]` in [0, 1].
    pub values: Tensor<4>,
    /// Every latent and log-probability.
    pub rollout: Rollout<4>,
    /// The timestep the model was called at, by step.
    pub timesteps: Vec<f64>,
    /// What the unconditional half of guidance saw, `[1, T, C]`.
    pub unconditional: Condition,
}

impl SampleRequest {
    /// The chains: those of a prompt one after the other, the k-th of every prompt with the same noise.
    pub(super) fn drawing<'a>(&self, loaded: &'a LoadedModel) -> Result<Drawing<'a>> {
        let asked = Asked {
            prompts: self.prompts.clone().into(),
            negative_prompt: &self.negative_prompt,
            sampler: &self.sampler,
            guidance: self.guidance,
            noise: Noise::new(self.seed, Domain::Sampling),
            size: self.size,
        };
        let numbers = 0..self.count as u64;
        let of_prompt = |prompt| numbers.clone().map(move |number| (SampleId(number), PromptId(prompt)));
        Drawing::new(loaded, asked, (0..self.prompts.len() as u64).flat_map(of_prompt).collect())
    }
}

impl Sampled {
    /// What the rollouts of all chains of a drawing, in their order, and their decoded latents come to.
    pub(super) fn new(drawing: Drawing<'_>, rollouts: Vec<Rollout<4>>, values: Vec<Tensor<4>>) -> Result<Self> {
        let values = Tensor::cat(values, 0);
        Ok(Self {
            prompts: drawing.prompts.texts(&drawing.ids()),
            images: to_pictures(&values)?,
            values,
            rollout: Rollout::concat(rollouts)?,
            timesteps: drawing.scheduler.timesteps().iter().map(|timestep| timestep.0).collect(),
            unconditional: drawing.unconditional,
        })
    }
}

/// Draws `request` with `model`, which is one of `loaded`'s denoisers. `on_step` hears of the steps done, of how many.
///
/// # Errors
///
/// Fails on an impossible size or number of steps, and when the model fails.
pub fn sample(
    loaded: &LoadedModel,
    model: &(dyn Denoiser<4> + Sync),
    request: &SampleRequest,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<Sampled> {
    let drawing = request.drawing(loaded)?;
    let sampler = BatchSampler {
        sampling: drawing.sampling(),
        model: &|| Box::new(model),
        reference: None,
        prompts: &drawing.prompts,
        batch: request.batch_size.max(1),
        lanes: &Lanes::new(lanes(loaded, request.batch_size, drawing.shape))?,
        stop,
    };
    let (mut rollouts, mut values) = (Vec::new(), Vec::new());
    let decode = |rollout: Rollout<4>, _: Vec<f64>| -> ddpo_train::Result<(Rollout<4>, Tensor<4>)> {
        let values = loaded.decode(rollout.last_state()).map_err(ddpo_core::Error::model)?;
        Ok((rollout, values))
    };
    let outcome = sampler.each(&drawing.chains, decode, on_step, |(rollout, batch)| {
        rollouts.push(rollout);
        values.push(batch);
        Ok(())
    });
    outcome.map_err(|error| stopped_or(stop, error))?;
    Sampled::new(drawing, rollouts, values)
}

/// A set flag explains any failure of the model: it is what made it refuse.
pub(super) fn stopped_or(stop: &StopFlag, error: ddpo_train::Error) -> Error {
    if stop.is_set() { Error::Stopped } else { error.into() }
}
