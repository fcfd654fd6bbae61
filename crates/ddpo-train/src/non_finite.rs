//! What a number that is not finite came of, for whoever looks for its cause.

use burn::tensor::Tensor;
use ddpo_core::RgbImage;
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::Serialize;

use crate::error::{Error, Result};

/// The batch behind a failure: who was in it, and its numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NonFiniteBatch {
    /// Whose batch it is.
    pub members: BatchMembers,
    /// Tensors by name, with their shapes.
    pub tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
}

/// Who was in a batch; the lists are as long as the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchMembers {
    /// The message of the failure.
    pub error: String,
    /// The epoch, from 1; of an evaluation, the epochs done.
    pub epoch: u64,
    /// The optimizer step of the run, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update: Option<u64>,
    /// The number of each sample within the epoch, from 0.
    pub samples: Vec<usize>,
    /// The denoising step of each row, from 0; none of a regression.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<usize>,
    /// The prompt of each sample.
    pub prompts: Vec<String>,
}

impl NonFiniteBatch {
    /// A batch without numbers yet.
    pub fn new(members: BatchMembers) -> Self {
        Self { members, tensors: Vec::new() }
    }

    /// Adds a tensor; one that cannot be read back is left out, since the failure itself matters more.
    #[must_use]
    pub fn with<const D: usize>(mut self, name: &str, tensor: &Tensor<D>) -> Self {
        if let Ok(values) = tensor.clone().inner().try_into_vec_as::<f32>() {
            self.tensors.push((name.to_owned(), tensor.dims().to_vec(), values));
        }
        self
    }

    /// Adds numbers, one a row.
    #[must_use]
    pub fn with_values(mut self, name: &str, values: &[f32]) -> Self {
        self.tensors.push((name.to_owned(), vec![values.len()], values.to_vec()));
        self
    }

    /// Adds pictures of one size as `[N, H, W, 3]`, from 0 to 255.
    #[must_use]
    pub fn with_images(mut self, images: &[RgbImage]) -> Self {
        let Some(first) = images.first() else { return self };
        let (height, width) = (first.height(), first.width());
        if images.iter().all(|image| (image.height(), image.width()) == (height, width)) {
            let values = images.iter().flat_map(|image| image.pixels()).map(|&byte| f32::from(byte)).collect();
            self.tensors.push(("images".to_owned(), vec![images.len(), height as usize, width as usize, 3], values));
        }
        self
    }

    /// The bytes of a safetensors file, with the members as JSON in its metadata under `batch`.
    ///
    /// # Errors
    /// [`Error::Encoding`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let encoding = |error: &dyn std::fmt::Display| Error::Encoding(error.to_string());
        let members = serde_json::to_string(&self.members).map_err(|e| encoding(&e))?;
        let bytes: Vec<Vec<u8>> =
            self.tensors.iter().map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect()).collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            Ok((name, TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(|e| encoding(&e))?))
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        serialize(views, Some([("batch".to_owned(), members)].into())).map_err(|e| encoding(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_safetensors_file_which_says_who_was_in_the_batch() {
        let members = BatchMembers {
            error: "the loss is NaN".into(),
            epoch: 3,
            prompts: vec!["a cat".into()],
            ..BatchMembers::default()
        };
        let images = [RgbImage::new(2, 1, vec![7; 6]).unwrap()];
        let bytes =
            NonFiniteBatch::new(members).with_values("rewards", &[f32::NAN]).with_images(&images).to_bytes().unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(file.tensor("images").unwrap().shape(), [1, 1, 2, 3]);
        assert_eq!(file.tensor("rewards").unwrap().data(), f32::NAN.to_le_bytes());
        let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(
            metadata.metadata().as_ref().unwrap()["batch"],
            r#"{"error":"the loss is NaN","epoch":3,"samples":[],"prompts":["a cat"]}"#
        );
    }
}
