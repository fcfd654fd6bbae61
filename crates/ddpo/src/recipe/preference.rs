//! Given pairs: what their trainer has besides the parts of all runs.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use ddpo_core::RgbImage;
use ddpo_models::DiffusionPolicy;
use ddpo_train::{EncodedPrompts, Parts, PicturePairs, PreferenceParts, PreferencePlan, PreferenceTrainer};

use crate::config::{GivenPairsPlan, PairTimesteps, RunPlan};
use crate::error::{Error, Result};
use crate::images::{read_image, resize};
use crate::prompts::{PicturePair, PromptSource, read_pairs};

use super::assembly::{adamw, sample_plan};
use super::loaded::LoadedModel;

/// The trainer of a plan.
pub(super) fn trainer(
    plan: &RunPlan,
    given: &GivenPairsPlan,
    loaded: &LoadedModel,
    shared: Parts<DiffusionPolicy, 4>,
) -> Result<PreferenceTrainer<DiffusionPolicy, 4>> {
    let schedule = loaded.pipeline().scheduler.schedule()?;
    let timesteps = timesteps(plan, given, schedule.train_steps(), &shared)?;
    let pairs = pairs(plan, loaded, &shared.prompts)?;
    let parts = PreferenceParts { shared, schedule, pairs };
    Ok(PreferenceTrainer::new(preference_plan(plan, given, timesteps), parts)?)
}

fn preference_plan(plan: &RunPlan, given: &GivenPairsPlan, timesteps: Vec<usize>) -> PreferencePlan {
    PreferencePlan {
        sampling: sample_plan(plan),
        pairs_per_epoch: plan.samples_per_epoch / 2,
        train_batch: given.batch / 2,
        accumulation: given.accumulation,
        timesteps,
        objective: given.objective,
        train_guidance: 1.0,
        learning_rate: plan.config.train.learning_rate,
        adamw: adamw(plan),
    }
}

/// The timesteps that pictures are mixed with noise at.
fn timesteps(
    plan: &RunPlan,
    given: &GivenPairsPlan,
    train_steps: usize,
    shared: &Parts<DiffusionPolicy, 4>,
) -> Result<Vec<usize>> {
    let first = plan.config.train.first_timestep;
    let timesteps: Vec<usize> = match given.timesteps {
        PairTimesteps::All => (first..train_steps).collect(),
        PairTimesteps::Sampler => {
            let visited = shared.scheduler.timesteps().iter().map(|timestep| timestep.0.round() as usize);
            visited.filter(|&timestep| timestep >= first).collect()
        }
    };
    match timesteps.is_empty() {
        false => Ok(timesteps),
        true => Err(Error::InvalidOption {
            key: "train.first-timestep",
            found: first.to_string(),
            expected: "one that leaves a timestep of the sampler".into(),
        }),
    }
}

/// The pairs whose prompts are trained on, as the autoencoder's latents: those of prompts that are set aside for evaluation are left
/// out.
fn pairs(plan: &RunPlan, loaded: &LoadedModel, prompts: &EncodedPrompts) -> Result<PicturePairs<4>> {
    let PromptSource::Pairs(path) = &plan.prompts else {
        return Err(Error::Data { reason: "no file of pairs".into() });
    };
    let known: Vec<_> = (0..prompts.count()).map(|place| prompts.at(place)).collect();
    let known: BTreeMap<String, _> = prompts.texts(&known).into_iter().zip(known).collect();
    let pairs = read_pairs(path)?.into_iter();
    let (pairs, prompts): (Vec<PicturePair>, Vec<_>) =
        pairs.filter_map(|pair| known.get(&pair.prompt).copied().map(|prompt| (pair, prompt))).unzip();
    if pairs.is_empty() {
        return Err(Error::Data { reason: format!("{}, no pair of a prompt that is trained on", path.display()) });
    }
    let own = loaded.pipeline().image_size();
    let sample = &plan.config.sample;
    let size = [sample.width.unwrap_or(own[1]) as u32, sample.height.unwrap_or(own[0]) as u32];
    let states = pairs.chunks(sample.batch_size.div_ceil(2)).map(|pairs| encode(loaded, path, pairs, size));
    Ok(PicturePairs { states: Tensor::cat(states.collect::<Result<_>>()?, 0), prompts })
}

/// The latents of some pairs, the preferred picture of each first.
fn encode(loaded: &LoadedModel, file: &std::path::Path, pairs: &[PicturePair], size: [u32; 2]) -> Result<Tensor<4>> {
    let read = |pair: &PicturePair| {
        let picture = |path| read_image(path).and_then(|picture| resize(&picture, size[0], size[1]));
        let both = picture(&pair.win).and_then(|win| Ok([win, picture(&pair.lose)?]));
        both.map_err(|source| Error::Pair { path: file.to_owned(), line: pair.line, source: Box::new(source) })
    };
    let pictures: Vec<[RgbImage; 2]> = pairs.iter().map(read).collect::<Result<_>>()?;
    loaded.encode_images(&pictures.concat())
}
