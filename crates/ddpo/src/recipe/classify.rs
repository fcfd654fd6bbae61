//! Naming what pictures show, with nothing but a text-to-image model.

use ddpo_core::classifier::{Classification, DiffusionClassifier, Elimination};
use ddpo_core::{Domain, Noise, RgbImage};
use ddpo_train::StopFlag;

use crate::error::{Error, Result};
use crate::images::resize;

use super::loaded::LoadedModel;

/// What to name, and how.
#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    /// The classes, as the model would be prompted for them; at least two.
    pub classes: Vec<String>,
    /// Pairs of timestep and noise of the classes that come into question to the end.
    pub trials: usize,
    /// The least timestep of a pair.
    pub first_timestep: usize,
    /// Whether every class is tried at all pairs, and none is left out on the way.
    pub full: bool,
    /// Seed of the noise.
    pub seed: u64,
    /// Rows of a forward pass; changes no number.
    pub batch_size: usize,
}

/// Classifies each of `images`, resized to the model's own size. `on_image` hears of how many are done, of how many.
///
/// # Errors
///
/// Fails with fewer than two classes, and when the model fails.
pub fn classify(
    loaded: &LoadedModel,
    images: &[RgbImage],
    request: &ClassifyRequest,
    stop: &StopFlag,
    on_image: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Classification>> {
    if request.classes.len() < 2 {
        let found = format!("{:?}", request.classes);
        return Err(Error::InvalidOption { key: "--classes", found, expected: "at least two classes".into() });
    }
    let (denoiser, schedule) = (loaded.pipeline().denoiser(), loaded.pipeline().scheduler.schedule()?);
    let noise = Noise::new(request.seed, Domain::Classification);
    let classifier = DiffusionClassifier {
        denoiser: &denoiser,
        schedule: &schedule,
        noise,
        first_timestep: request.first_timestep,
        batch: request.batch_size.max(1),
    };
    let conditions = loaded.encode(&request.classes)?;
    let elimination = match request.full {
        true => Elimination::none(request.trials),
        false => Elimination::successive(request.classes.len(), request.trials),
    };
    let [height, width] = loaded.pipeline().image_size();
    let mut classifications = Vec::with_capacity(images.len());
    for image in images {
        let image = resize(image, width as u32, height as u32)?;
        let clean = loaded.encode_images(&[image])?;
        classifications.push(classifier.classify(&clean, &conditions, &elimination)?);
        on_image(classifications.len(), images.len());
        if stop.is_set() {
            return Err(Error::Stopped);
        }
    }
    Ok(classifications)
}
