//! Drawing images on request.

use burn::tensor::Tensor;
use ddpo_core::{
    Condition, Denoiser, Domain, Epoch, Noise, PromptId, Reduction, RgbImage, Rollout, SampleId, Sampling, Scheduler,
};
use ddpo_train::{BatchSampler, EncodedPrompts, Lanes, StopFlag};

use crate::config::SamplerPlan;
use crate::error::{Error, Result};

use super::assembly::lanes;
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

/// What a request's pictures are drawn from, whoever draws them.
pub(super) struct Drawing<'a> {
    loaded: &'a LoadedModel,
    request: &'a SampleRequest,
    scheduler: Box<dyn Scheduler>,
    unconditional: Condition,
    /// The prompts, encoded.
    pub prompts: EncodedPrompts,
    /// The shape of a latent.
    pub shape: [usize; 4],
    /// The number and the prompt of each picture.
    pub chains: Vec<(SampleId, PromptId)>,
}

impl<'a> Drawing<'a> {
    /// Checks the request, and encodes its prompts.
    pub fn new(loaded: &'a LoadedModel, request: &'a SampleRequest) -> Result<Self> {
        let scheduler = loaded.scheduler(&request.sampler)?;
        let (conditions, unconditional) = loaded.encode_guided(&request.prompts, &request.negative_prompt)?;
        let prompts = EncodedPrompts::new(request.prompts.clone(), conditions, unconditional.clone())?;
        let shape = loaded.latent_shape(request.size)?;
        let numbers = 0..request.count as u64;
        let of_prompt = |prompt| numbers.clone().map(move |number| (SampleId(number), PromptId(prompt)));
        let chains = (0..request.prompts.len() as u64).flat_map(of_prompt).collect();
        Ok(Self { loaded, request, scheduler, unconditional, prompts, shape, chains })
    }

    /// How a chain is sampled.
    pub fn sampling(&self) -> Sampling<'_, 4> {
        Sampling {
            scheduler: &*self.scheduler,
            guidance: self.request.guidance,
            unconditional: &self.unconditional,
            shape: self.shape,
            noise: Noise::new(self.request.seed, Domain::Sampling),
            epoch: Epoch(0),
            reduction: Reduction::Mean,
            device: self.loaded.device(),
        }
    }

    /// The prompt of each picture.
    pub fn texts(&self) -> Vec<String> {
        self.prompts.texts(&self.chains.iter().map(|chain| chain.1).collect::<Vec<_>>())
    }

    /// What the rollouts of all chains, in their order, and their decoded latents come to.
    pub fn sampled(self, rollouts: Vec<Rollout<4>>, values: Vec<Tensor<4>>) -> Result<Sampled> {
        let values = Tensor::cat(values, 0);
        Ok(Sampled {
            prompts: self.texts(),
            images: to_pictures(&values)?,
            values,
            rollout: Rollout::concat(rollouts)?,
            timesteps: self.scheduler.timesteps().iter().map(|timestep| timestep.0).collect(),
            unconditional: self.unconditional,
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
    let drawing = Drawing::new(loaded, request)?;
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
    drawing.sampled(rollouts, values)
}

/// A set flag explains any failure of the model: it is what made it refuse.
pub(super) fn stopped_or(stop: &StopFlag, error: ddpo_train::Error) -> Error {
    if stop.is_set() { Error::Stopped } else { error.into() }
}
