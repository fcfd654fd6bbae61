//! Traces: everything that led to images, as a file that others can recompute.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::Tensor;
use safetensors::tensor::{Dtype, TensorView};

use crate::error::{Error, Result};

use super::loaded::values;
use super::sample::{SampleRequest, Sampled};

/// A tensor on its way into the file.
struct Part {
    name: &'static str,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Sampled {
    /// Writes `latents [N,T+1,C,H,W]`, `timesteps [T]`, `log_probs [N,T]`, `prompt_embeds [N,L,C]`,
    /// `negative_prompt_embeds [N,L,C]` and `images [N,3,H,W]` in [0, 1], all f32, as safetensors.
    ///
    /// Log-probabilities are means over the elements of a latent. A step without noise has none, so that `log_probs`
    /// has as many columns as there are steps with noise: none for η = 0.
    ///
    /// # Errors
    ///
    /// Fails when a tensor cannot be read from the device or the file cannot be written.
    pub fn write_trace(&self, path: &Path, request: &SampleRequest) -> Result<()> {
        let parts = self.parts()?;
        let views: Result<Vec<_>, _> = parts.iter().map(Part::view).collect();
        let metadata = metadata(request, &self.prompts);
        let bytes = views
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error| Error::Encoding { path: path.to_owned(), reason: error.to_string() })?;
        Ok(ddpo_train::fs::write_atomic(path, &bytes)?)
    }

    fn parts(&self) -> Result<Vec<Part>> {
        let columns = self.rollout.states().iter().map(|state| state.clone().permute([0, 3, 1, 2])).collect();
        let latents: Tensor<5> = Tensor::stack(columns, 1);
        let n = self.prompts.len();
        let negative = self.unconditional.repeat(n)?.states;
        Ok(vec![
            Part::of("latents", latents)?,
            Part::new("timesteps", vec![self.timesteps.len()], self.timesteps.iter().map(|t| *t as f32)),
            Part::new("log_probs", vec![n, self.rollout.steps().len()], self.rollout.log_probs().iter().copied()),
            Part::of("prompt_embeds", self.rollout.condition().states.clone())?,
            Part::of("negative_prompt_embeds", negative)?,
            Part::of("images", self.values.clone().permute([0, 3, 1, 2]))?,
        ])
    }
}

impl Part {
    fn new(name: &'static str, shape: Vec<usize>, values: impl Iterator<Item = f32>) -> Self {
        Self { name, shape, bytes: values.flat_map(f32::to_le_bytes).collect() }
    }

    fn of<const D: usize>(name: &'static str, tensor: Tensor<D>) -> Result<Self> {
        let shape = tensor.dims().to_vec();
        Ok(Self::new(name, shape, values(tensor)?.into_iter()))
    }

    fn view(&self) -> Result<(&str, TensorView<'_>), safetensors::SafeTensorError> {
        Ok((self.name, TensorView::new(Dtype::F32, self.shape.clone(), &self.bytes)?))
    }
}

/// One entry, because a hash map of several has another order in every file.
fn metadata(request: &SampleRequest, prompts: &[String]) -> HashMap<String, String> {
    let request = serde_json::json!({
        "prompts": prompts,
        "negative_prompt": request.negative_prompt,
        "steps": request.sampler.steps,
        "scheduler": request.sampler.scheduler,
        "spacing": request.sampler.spacing,
        "eta": request.sampler.eta,
        "eta_by_step": request.sampler.eta_by_step,
        "guidance": request.guidance,
        "seed": request.seed,
        "log_prob_reduction": "mean",
    });
    HashMap::from([("ddpo".to_owned(), request.to_string())])
}
