//! What is on a small picture: a classifier that is shipped beside a model and that no reward has paid, for the question whether
//! samples still show what their prompts name.

mod asked;
mod files;
mod recognition;
mod reward;

use std::borrow::Cow;

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_core::RgbImage;
use ddpo_nn::{RecogniserConfig, RecogniserNetwork, Weights, resize_bicubic};

pub use asked::Asked;
pub use files::save;
pub use recognition::Recognition;
pub use reward::{AsAsked, AsAskedFactory};

use crate::{Error, Result};

/// Pictures of one forward pass; changes no number.
const BATCH: usize = 32;

/// The network with its weights.
#[derive(Clone, Debug)]
pub struct Recogniser {
    network: RecogniserNetwork,
    weights: Weights,
    device: Device,
}

impl Recogniser {
    /// A network with these weights.
    #[must_use]
    pub fn new(network: RecogniserNetwork, weights: Weights, device: Device) -> Self {
        Self { network, weights, device }
    }

    /// What the network knows, and its shape.
    pub fn config(&self) -> &RecogniserConfig {
        self.network.config()
    }

    /// What is on each picture: the mean of what the network says of it and of its mirror image, which shows the same. Pictures of another
    /// size than the network's are resized to it, bicubically.
    ///
    /// # Errors
    /// What the device refuses.
    pub fn recognise(&self, images: &[RgbImage]) -> Result<Vec<Recognition>> {
        let mut all = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let pictures = self.tensor(images);
            let mirrored = self.network.forward(&self.weights, pictures.clone().flip([2]));
            let seen = self.network.forward(&self.weights, pictures);
            let both = [(seen.nouns, mirrored.nouns), (seen.styles, mirrored.styles), (seen.grounds, mirrored.grounds)];
            let [nouns, styles, grounds] = both.map(|(one, other)| rows((one + other).mul_scalar(0.5)));
            for ((nouns, styles), grounds) in nouns?.into_iter().zip(styles?).zip(grounds?) {
                let nouns = nouns.iter().map(|logit| 1.0 / (1.0 + (-logit).exp())).collect();
                all.push(Recognition { nouns, style: largest(&styles), ground: largest(&grounds) });
            }
        }
        Ok(all)
    }

    /// Whether each picture shows what its prompt names; nothing where the prompt names nothing that the network knows.
    ///
    /// # Errors
    /// Those of [`Recogniser::recognise`].
    pub fn as_asked(&self, images: &[RgbImage], prompts: &[String]) -> Result<Vec<Option<bool>>> {
        let asked = prompts.iter().map(|prompt| Asked::of(prompt, self.config()));
        Ok(self.recognise(images)?.iter().zip(asked).map(|(seen, asked)| Some(asked?.is_shown(seen))).collect())
    }

    /// `[N, side, side, 3]`, with colours in [−1, 1]; pictures of another size are resized.
    fn tensor(&self, images: &[RgbImage]) -> Tensor<4> {
        let side = self.config().size;
        let mut values = Vec::with_capacity(images.len() * side * side * 3);
        for image in images {
            let pixels = match [image.width() as usize, image.height() as usize] {
                size if size == [side; 2] => Cow::Borrowed(image.pixels()),
                size => Cow::Owned(resize_bicubic(image.pixels(), size, [side; 2])),
            };
            values.extend(pixels.iter().map(|&byte| f32::from(byte) / 127.5 - 1.0));
        }
        Tensor::from_data(TensorData::new(values, [images.len(), side, side, 3]), &self.device)
    }
}

fn rows(values: Tensor<2>) -> Result<Vec<Vec<f32>>> {
    let [_, columns] = values.dims();
    let flat: Vec<f32> = values.try_into_vec_as().map_err(|error| Error::Recogniser { reason: error.to_string() })?;
    Ok(flat.chunks_exact(columns).map(<[f32]>::to_vec).collect())
}

/// The index of the largest value.
fn largest(values: &[f32]) -> usize {
    values.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index)
}
