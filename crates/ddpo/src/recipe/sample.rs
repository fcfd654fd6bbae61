//! Drawing images on request.

use burn::tensor::Tensor;
use ddpo_core::{
    Condition, Denoiser, Domain, Epoch, Guided, Noise, PromptId, Reduction, RgbImage, Rollout, RolloutRequest,
    SampleId, rollout,
};
use ddpo_train::StopFlag;

use crate::config::SchedulerKind;
use crate::error::{Error, Result};

use super::loaded::{LoadedModel, to_pictures};

/// What to draw, and how.
#[derive(Clone, Debug)]
pub struct SampleRequest {
    /// The prompts.
    pub prompts: Vec<String>,
    /// Images of each.
    pub count: usize,
    /// Denoising steps.
    pub steps: usize,
    /// Classifier-free guidance; 1 switches it off.
    pub guidance: f64,
    /// How noise becomes an image.
    pub scheduler: SchedulerKind,
    /// Share of the DDPM noise each DDIM step adds; 0 is deterministic.
    pub eta: f64,
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

/// Draws `request` with `model`, which is one of `loaded`'s denoisers. `on_step` hears of the steps done, of how many.
///
/// # Errors
///
/// Fails on an impossible size or number of steps, and when the model fails.
pub fn sample(
    loaded: &LoadedModel,
    model: &dyn Denoiser<4>,
    request: &SampleRequest,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<Sampled> {
    let scheduler = loaded.scheduler(request.scheduler, request.steps, request.eta)?;
    let unconditional = loaded.encode_negative(&request.negative_prompt)?;
    let guided = Guided::new(model, unconditional.clone(), request.guidance)?;
    let conditions = loaded.encode(&request.prompts)?;
    let shape = loaded.latent_shape(request.size)?;
    let rows: Vec<(usize, usize)> =
        (0..request.prompts.len()).flat_map(|prompt| (0..request.count).map(move |k| (prompt, k))).collect();
    let batches = rows.len().div_ceil(request.batch_size.max(1));
    let (mut rollouts, mut values) = (Vec::new(), Vec::new());
    for (batch, rows) in rows.chunks(request.batch_size.max(1)).enumerate() {
        let request = RolloutRequest {
            shape,
            samples: &rows.iter().map(|row| SampleId(row.1 as u64)).collect::<Vec<_>>(),
            prompts: &rows.iter().map(|row| PromptId(row.0 as u64)).collect::<Vec<_>>(),
            condition: &conditions.select(&rows.iter().map(|row| row.0).collect::<Vec<_>>())?,
            noise: Noise::new(request.seed, Domain::Sampling),
            epoch: Epoch(0),
            reduction: Reduction::Mean,
            device: loaded.device(),
        };
        let steps = scheduler.timesteps().len();
        let rollout =
            rollout(&guided, &*scheduler, &request, &mut |step| on_step(batch * steps + step.0 + 1, batches * steps))?;
        values.push(loaded.decode(rollout.last_state())?);
        rollouts.push(rollout);
        if stop.is_set() {
            return Err(Error::Stopped);
        }
    }
    let values = Tensor::cat(values, 0);
    Ok(Sampled {
        prompts: rows.iter().map(|row| request.prompts[row.0].clone()).collect(),
        images: to_pictures(&values)?,
        values,
        rollout: Rollout::concat(rollouts)?,
        timesteps: scheduler.timesteps().iter().map(|timestep| timestep.0).collect(),
        unconditional,
    })
}
