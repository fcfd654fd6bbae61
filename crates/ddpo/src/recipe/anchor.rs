//! The anchor: the pictures that a policy is held to, an image folder's or the base model's own.

use std::path::Path;

use burn::tensor::Tensor;
use ddpo_core::PromptId;
use ddpo_train::{Anchor, AnchorTarget, EncodedPrompts, StopFlag};

use crate::config::RunPlan;
use crate::error::Result;
use crate::images::{read_image, resize};
use crate::prompts::PromptList;

use super::anchor_pictures::{Picture, pictures};
use super::loaded::LoadedModel;
use super::sample::{SampleRequest, sample};

/// The anchor of a plan, if it has one: a folder's pictures are encoded, or the base model draws its own.
pub(super) fn anchor(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &PromptList,
    stop: &StopFlag,
) -> Result<Option<Anchor<4>>> {
    let options = &plan.config.anchor;
    if options.weight == 0.0 {
        return Ok(None);
    }
    let loaded = &loaded.adapted(&plan.frozen)?.reading(plan.config.sample.prompt_syntax);
    let (states, texts, ids, target) = match &options.data {
        Some(folder) => {
            let (states, captions) = of_folder(plan, loaded, Path::new(folder))?;
            let ids = (0..captions.len() as u64).map(PromptId).collect();
            (states, captions, ids, AnchorTarget::Noise)
        }
        None => {
            let (states, ids) = of_base(plan, loaded, prompts, stop)?;
            (states, prompts.texts.clone(), ids, AnchorTarget::Base)
        }
    };
    let (conditions, unconditional) = loaded.encode_guided(&texts, "")?;
    Ok(Some(Anchor {
        states,
        prompts: EncodedPrompts::new(texts, conditions, unconditional)?,
        ids,
        schedule: loaded.pipeline().scheduler.schedule()?,
        target,
        weight: options.weight,
        batch: options.batch_size,
        first_timestep: options.first_timestep,
    }))
}

/// What chains of the base model end in, as many of every training prompt, drawn as the run draws its samples.
fn of_base(
    plan: &RunPlan,
    loaded: &LoadedModel,
    prompts: &PromptList,
    stop: &StopFlag,
) -> Result<(Tensor<4>, Vec<PromptId>)> {
    let options = &plan.config.sample;
    let count = plan.config.anchor.samples.div_ceil(prompts.texts.len().max(1));
    let request = SampleRequest {
        prompts: prompts.texts.clone(),
        count,
        sampler: options.sampler(),
        guidance: options.guidance,
        negative_prompt: options.negative_prompt.clone(),
        seed: plan.config.run.seed,
        batch_size: options.batch_size,
        size: [options.height, options.width],
    };
    let model = loaded.denoiser(&[])?;
    let drawn = sample(loaded, &*model, &request, stop, &mut |_, _| {})?;
    let ids = (0..prompts.texts.len() as u64).flat_map(|prompt| vec![PromptId(prompt); count]).collect();
    Ok((drawn.rollout.last_state().clone(), ids))
}

/// The latents of a folder's pictures at the size that the run draws, and the first caption of each.
fn of_folder(plan: &RunPlan, loaded: &LoadedModel, folder: &Path) -> Result<(Tensor<4>, Vec<String>)> {
    let pictures = pictures(folder)?;
    let (own, sample) = (loaded.pipeline().image_size(), &plan.config.sample);
    let [width, height] = [sample.width.unwrap_or(own[1]) as u32, sample.height.unwrap_or(own[0]) as u32];
    let encode = |pictures: &[Picture]| {
        let read = |picture: &Picture| read_image(&picture.path).and_then(|read| resize(&read, width, height));
        loaded.encode_images(&pictures.iter().map(read).collect::<Result<Vec<_>>>()?)
    };
    let states = pictures.chunks(sample.batch_size).map(encode).collect::<Result<_>>()?;
    Ok((Tensor::cat(states, 0), pictures.into_iter().map(|picture| picture.caption).collect()))
}
