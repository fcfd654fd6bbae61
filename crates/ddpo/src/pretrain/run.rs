//! The stages in their order.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use ddpo_models::{Pipeline, Unet, Vae, VaeConfig};
use ddpo_nn::{FileDtype, TextEncoder, Tokenizer, Weights};
use ddpo_train::{Lanes, StopFlag};
use serde::Serialize;

use super::autoencoder::Autoencoder;
use super::decoder::Decoder;
use super::denoiser::DenoiserStage;
use super::draws::Draws;
use super::examples::{Encoded, Encoder, Examples, Pictures};
use super::journal::{Journal, STAGES};
use super::judge::JudgeStage;
use super::recipe::PretrainConfig;
use super::source::Source;
use super::stage::{Losses, Stage};
use super::{autoencoder, denoiser};
use crate::{Error, Result};

/// What to pretrain, and where.
#[derive(Clone, Copy, Debug)]
pub struct PretrainRequest<'a> {
    /// The image folder.
    pub data: &'a Path,
    /// Where the model goes: a directory in the diffusers layout, which must not exist yet.
    pub out: &'a Path,
    /// Where the states and the metrics go.
    pub run_directory: &'a Path,
    /// The recipe.
    pub config: &'a PretrainConfig,
    /// Whether to go on with the run that is there.
    pub resume: bool,
    /// Once it is set, the step in progress ends, the state is saved, and the call returns `Ok(false)`.
    pub stop: &'a StopFlag,
}

/// A line of metrics.
#[derive(Clone, Debug, Serialize)]
pub struct PretrainEvent {
    /// The stage: `autoencoder`, `denoiser`, `decoder` or `judge`.
    pub kind: &'static str,
    /// Steps taken in the stage.
    pub step: u64,
    /// Steps the stage has.
    #[serde(skip)]
    pub steps: u64,
    /// The loss of this step's batch.
    pub loss: f64,
    /// The unweighted mean squared error: of pixels in [−1, 1], of the predicted velocity, or of the judge's
    /// probabilities.
    pub mse: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Seconds since the stage began or was resumed.
    pub seconds: f64,
    /// Seconds a step takes, over the steps since the stage began or was resumed.
    pub seconds_a_step: f64,
}

impl PretrainEvent {
    /// Seconds the stage still needs at the pace of its last steps.
    #[must_use]
    pub fn seconds_left(&self) -> f64 {
        (self.steps - self.step) as f64 * self.seconds_a_step
    }
}

/// Pretrains a model; `observe` sees every line of metrics. Returns whether it ran to its end.
///
/// # Errors
/// What is wrong with the data, the run directory or the recipe; a loss that is not finite.
pub fn pretrain(
    request: PretrainRequest<'_>,
    device: &Device,
    observe: &mut dyn FnMut(&PretrainEvent),
) -> Result<bool> {
    let config = request.config;
    refuse_existing(request.out)?;
    let source = Source::load(request.data, config)?;
    let journal = Journal::open(request.run_directory, config, request.resume)?;
    let mut run = PretrainRun { request, journal, lanes: Lanes::new(crate::device::threads())?, observe };
    let vae = Vae::new(autoencoder::config(&config.autoencoder, source.size()))?;
    let Some(vae_weights) = run.autoencoder(&vae, &source, device)? else { return Ok(false) };
    let tokenizer = Tokenizer::train(
        source.captions().iter().map(String::as_str),
        config.denoiser.vocabulary,
        config.denoiser.text_length,
    )?;
    let (pictures, shape, scale) = pictures(config, &source, &vae, &vae_weights, &tokenizer, device)?;
    let data = prepare(config, pictures, shape, &tokenizer, device)?;
    let Some([unet_weights, text_weights]) = run.denoiser(&data)? else { return Ok(false) };
    let DenoiserStage { unet, text, .. } = data;
    let decoder = Decoder {
        vae: &vae,
        weights: &vae_weights,
        recipe: &config.decoder,
        source: &source,
        spread: 1.0 / scale,
        device,
    };
    let Some(decoder_weights) = run.decoder(&decoder)? else { return Ok(false) };
    let vae_weights = vae_weights.overlaid(&decoder_weights);
    let vae = Vae::new(VaeConfig { scaling_factor: scale, ..vae.config().clone() })?;
    let pipeline = Pipeline {
        unet: Arc::new(unet),
        unet_weights,
        vae: Arc::new(vae),
        vae_weights,
        text_encoder: Arc::new(text),
        text_weights,
        tokenizer,
        scheduler: denoiser::scheduler(),
        clip_skip: 0,
    };
    pipeline.check()?;
    let judge = match &source {
        Source::Folder(_) => None,
        Source::Composed { judged, .. } => {
            let stage = JudgeStage::new(&config.judge, judged, device);
            let Some(weights) = run.judge(&stage)? else { return Ok(false) };
            Some((stage.network, weights))
        }
    };
    pipeline.save(request.out, FileDtype::F16)?;
    if let Some((network, weights)) = judge {
        ddpo_rewards::recogniser::save(&network, &weights, request.out, FileDtype::F16)?;
    }
    Ok(true)
}

/// The number of a stage's draws; 3 are those of the latents' spread.
fn draws_of(stage: usize) -> u64 {
    if stage < 3 { stage as u64 } else { stage as u64 + 1 }
}

fn refuse_existing(out: &Path) -> Result<()> {
    if out.exists() {
        return Err(Error::RunDirectory {
            path: out.to_owned(),
            reason: "it exists, wanted a new directory for the model".into(),
        });
    }
    Ok(())
}

struct PretrainRun<'a> {
    request: PretrainRequest<'a>,
    journal: Journal,
    lanes: Lanes,
    observe: &'a mut dyn FnMut(&PretrainEvent),
}

impl PretrainRun<'_> {
    fn autoencoder(&mut self, vae: &Vae, source: &Source, device: &Device) -> Result<Option<Weights>> {
        let config = self.request.config;
        let mut stage = autoencoder::stage(vae, &config.autoencoder, config.seed, device);
        let data = Autoencoder { vae, recipe: &config.autoencoder, source, device };
        let done = self.optimise(0, &mut stage, |leaves, draws, rows| data.loss(&leaves[0], draws, rows))?;
        Ok(if done { stage.averaged()?.pop() } else { None })
    }

    fn decoder(&mut self, data: &Decoder<'_>) -> Result<Option<Weights>> {
        let mut stage = data.stage()?;
        let done = self.optimise(3, &mut stage, |leaves, draws, rows| data.loss(&leaves[0], draws, rows))?;
        Ok(if done { stage.averaged()?.pop() } else { None })
    }

    fn denoiser(&mut self, data: &DenoiserStage<'_>) -> Result<Option<[Weights; 2]>> {
        let mut stage = data.stage(self.request.config.seed);
        let done =
            self.optimise(1, &mut stage, |leaves, draws, rows| data.loss(&leaves[0], &leaves[1], draws, rows))?;
        Ok(if done { stage.averaged()?.try_into().ok() } else { None })
    }

    fn judge(&mut self, data: &JudgeStage<'_>) -> Result<Option<Weights>> {
        let mut stage = data.stage(self.request.config.seed);
        let done = self.optimise(2, &mut stage, |leaves, draws, rows| data.loss(&leaves[0], draws, rows))?;
        Ok(if done { stage.averaged()?.pop() } else { None })
    }

    /// Takes the steps that `stage` still needs; false if it was stopped.
    fn optimise(
        &mut self,
        number: usize,
        stage: &mut Stage,
        loss: impl Fn(&[Weights], &mut Draws, Range<usize>) -> Result<Losses> + Sync,
    ) -> Result<bool> {
        let config = self.request.config;
        self.journal.restore(STAGES[number], stage)?;
        let (begin, first) = (Instant::now(), stage.step_number());
        while !stage.is_done() {
            let step = stage.step_number();
            let report = stage.step(&self.lanes, |leaves, rows| {
                loss(leaves, &mut Draws::new(config.seed, draws_of(number), step), rows)
            })?;
            if !report.loss.is_finite() {
                return Err(Error::NonFinite { what: "loss of pretraining", step });
            }
            if stage.step_number().is_multiple_of(config.log_every) || stage.is_done() {
                let event = PretrainEvent {
                    kind: STAGES[number],
                    step: stage.step_number(),
                    steps: stage.steps(),
                    loss: report.loss,
                    mse: report.mse,
                    grad_norm: report.grad_norm,
                    learning_rate: report.learning_rate,
                    seconds: begin.elapsed().as_secs_f64(),
                    seconds_a_step: begin.elapsed().as_secs_f64() / (stage.step_number() - first) as f64,
                };
                self.journal.record(&event)?;
                (self.observe)(&event);
            }
            let stopped = self.request.stop.is_set();
            if stopped || stage.is_done() || stage.step_number().is_multiple_of(config.checkpoint_every) {
                self.journal.save(STAGES[number], stage)?;
            }
            if stopped {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Where the second stage's latents come from, their height, width and channels, and what they are multiplied by.
fn pictures<'a>(
    config: &PretrainConfig,
    source: &'a Source,
    vae: &'a Vae,
    weights: &'a Weights,
    tokenizer: &'a Tokenizer,
    device: &'a Device,
) -> Result<(Pictures<'a>, [usize; 3], f64)> {
    match source {
        Source::Folder(folder) => {
            let (mut latents, shape) = autoencoder::latents(vae, weights, folder, device)?;
            let scale = rescale(&mut latents);
            let encode = |text: &String| -> Result<Vec<u32>> { Ok(tokenizer.encode(text)?) };
            let examples = folder.examples.iter();
            let captions =
                examples.map(|example| example.captions.iter().map(encode).collect()).collect::<Result<_>>()?;
            Ok((Pictures::Folder(Encoded { folder, latents, captions }), shape, scale))
        }
        Source::Composed { pictures: compositor, .. } => {
            let (spread, shape) = autoencoder::spread(vae, weights, compositor, config.seed, device)?;
            let scale = 1.0 / spread;
            Ok((Pictures::Composed(Encoder { compositor, vae, weights, tokenizer, scale, device }), shape, scale))
        }
    }
}

fn prepare<'a>(
    config: &'a PretrainConfig,
    pictures: Pictures<'a>,
    shape: [usize; 3],
    tokenizer: &Tokenizer,
    device: &Device,
) -> Result<DenoiserStage<'a>> {
    let recipe = &config.denoiser;
    let alphas_cumprod = denoiser::scheduler().schedule()?.alphas_cumprod().to_vec();
    Ok(DenoiserStage {
        recipe,
        unet: Unet::new(denoiser::unet_config(recipe, shape))?,
        text: TextEncoder::new(denoiser::text_config(recipe, tokenizer))?,
        examples: Examples { pictures, shape, alphas_cumprod, empty: tokenizer.encode("")? },
        device: device.clone(),
    })
}

/// Divides the latents by their standard deviation, so that the noise schedule fits them, and returns the factor.
fn rescale(latents: &mut [f32]) -> f64 {
    let count = latents.len() as f64;
    let mean = latents.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let variance = latents.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
    let scale = 1.0 / variance.sqrt();
    latents.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    scale
}
