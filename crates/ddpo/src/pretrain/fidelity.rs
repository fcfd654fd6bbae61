//! Whether a model draws what it is asked for: the nearest training picture of a sample should have the prompt's label.

use burn::tensor::Tensor;
use ddpo_core::Denoiser;
use ddpo_train::StopFlag;

use super::data::ImageFolder;
use super::tensors::{host, tensor};
use crate::config::RunConfig;
use crate::recipe::{LoadedModel, SampleRequest, Sampled, sample};
use crate::{Error, Result};

/// The samples of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelScore {
    /// The label, which was the prompt.
    pub label: String,
    /// Samples whose nearest training picture has the label.
    pub hits: usize,
    /// All its samples.
    pub samples: usize,
}

impl LabelScore {
    /// The hits and the samples of all labels.
    pub fn total(scores: &[Self]) -> (usize, usize) {
        scores.iter().fold((0, 0), |sum, score| (sum.0 + score.hits, sum.1 + score.samples))
    }
}

/// What [`fidelity`] draws: eight samples of each label, by the sampler of a run with its evaluation's seed.
pub fn fidelity_request(config: &RunConfig) -> SampleRequest {
    SampleRequest {
        prompts: Vec::new(),
        count: 8,
        sampler: config.sample.sampler(),
        guidance: config.sample.guidance,
        negative_prompt: config.sample.negative_prompt.clone(),
        seed: config.eval.seed,
        batch_size: 45,
        size: [None; 2],
    }
}

/// Draws `request.count` samples of every label of `folder` and looks for the nearest training picture of each, mirrored or
/// not, by Euclidean distance between latents of the autoencoder. The prompts of `request` are replaced by the labels.
///
/// # Errors
/// A folder without labels or of another picture size; what sampling refuses.
pub fn fidelity(
    loaded: &LoadedModel,
    model: &(dyn Denoiser<4> + Sync),
    folder: &ImageFolder,
    request: SampleRequest,
    stop: &StopFlag,
    on_step: &mut dyn FnMut(usize, usize),
) -> Result<(Vec<LabelScore>, Sampled)> {
    let labels = labels(folder)?;
    let request = SampleRequest { prompts: labels.clone(), size: [Some(folder.size); 2], ..request };
    let drawn = sample(loaded, model, &request, stop, on_step)?;
    let mut scores: Vec<LabelScore> =
        labels.into_iter().map(|label| LabelScore { label, hits: 0, samples: 0 }).collect();
    let size = drawn.rollout.last_state().dims().iter().skip(1).product();
    let pictures = pictures(loaded, folder)?;
    let latents = host(loaded.pipeline().encode_images(drawn.values.clone())?)?;
    for (latent, score) in latents.chunks_exact(size).zip((0..).map(|row| row / request.count)) {
        let nearest = nearest(latent, &pictures) % folder.examples.len();
        scores[score].samples += 1;
        scores[score].hits += usize::from(folder.examples[nearest].labels.contains(&scores[score].label));
    }
    Ok((scores, drawn))
}

/// Every label once, in alphabetical order.
fn labels(folder: &ImageFolder) -> Result<Vec<String>> {
    let mut labels: Vec<String> = folder.examples.iter().flat_map(|example| example.labels.iter().cloned()).collect();
    labels.sort();
    labels.dedup();
    if labels.is_empty() {
        return Err(Error::Data { reason: "no picture has a label, wanted `labels` in metadata.jsonl".into() });
    }
    Ok(labels)
}

/// The latents of all training pictures, one after the other, and then of all their mirror images: a model is pretrained on
/// both.
fn pictures(loaded: &LoadedModel, folder: &ImageFolder) -> Result<Vec<f32>> {
    let rows: Vec<usize> = (0..folder.examples.len()).collect();
    let mut latents = Vec::new();
    for (flip, rows) in [false, true].into_iter().flat_map(|flip| rows.chunks(32).map(move |rows| (flip, rows))) {
        let flat = folder.batch(rows, &vec![flip; rows.len()]);
        let images: Tensor<4> = tensor(flat, [rows.len(), folder.size, folder.size, 3], loaded.device());
        latents.extend(host(loaded.pipeline().encode_images(images.add_scalar(1.0).mul_scalar(0.5))?)?);
    }
    Ok(latents)
}

/// The index of the row of `pictures` that is nearest to `latent`.
fn nearest(latent: &[f32], pictures: &[f32]) -> usize {
    let distance = |row: &[f32]| row.iter().zip(latent).map(|(a, b)| (a - b) * (a - b)).sum::<f32>();
    let distances = pictures.chunks_exact(latent.len()).map(distance).enumerate();
    distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn the_nearest_row_wins() {
        assert_eq!(nearest(&[1.0, 1.0], &[0.0, 0.0, 1.5, 1.0, 3.0, 3.0]), 1);
    }
}
