//! Which model a one-file checkpoint is of, as far as its tensors tell.

use ddpo_nn::{Error, Result, TensorFile};

use super::names::UNET;

/// A one-file checkpoint: all weights of a Stable Diffusion 1.x or 2.x pipeline under the names of the original code. What is
/// not in it (the shape of its networks, the tokenizer, the noise levels and what the UNet predicts) has to come from a
/// diffusers directory of the same kind of model.
#[derive(Debug)]
pub struct SingleFile {
    file: TensorFile,
    vae: &'static str,
}

/// Where an autoencoder may be.
const VAE: [&str; 2] = ["first_stage_model.", "vae."];

/// Tensors by which files of other models are told, and what they are.
const OTHER_MODELS: [(&str, &str); 7] = [
    ("conditioner.embedders.", "a Stable Diffusion XL checkpoint"),
    ("control_model.", "a ControlNet"),
    ("model.diffusion_model.joint_blocks.", "a Stable Diffusion 3 checkpoint"),
    ("model.diffusion_model.double_blocks.", "a Flux checkpoint"),
    ("double_blocks.", "a Flux checkpoint"),
    ("lora_unet_", "an adapter (give it with --lora)"),
    ("unet.", "an adapter (give it with --lora)"),
];

/// Channels of an inpainting model's input, and of one that edits pictures.
const OTHER_INPUTS: [(usize, &str); 2] = [(9, "an inpainting model"), (8, "an instruct-pix2pix model")];

impl SingleFile {
    /// Looks at what `file` holds.
    ///
    /// # Errors
    ///
    /// If it is no checkpoint of Stable Diffusion 1.x or 2.x with all its networks.
    pub fn new(file: TensorFile) -> Result<Self> {
        let names = file.names();
        let begins = |prefix: &str| names.iter().any(|name| name.starts_with(prefix));
        let refuse = |reason: String| Err(Error::Tensors { name: file.name().to_owned(), reason });
        if let Some((_, what)) = OTHER_MODELS.iter().find(|(prefix, _)| begins(prefix)) {
            return refuse(format!("{what} found, a checkpoint of Stable Diffusion 1.x or 2.x wanted"));
        }
        let input = format!("{UNET}input_blocks.0.0.weight");
        if !file.has(&input) {
            let found = names.first().map_or_else(|| "no tensor".to_owned(), |name| format!("`{name}`"));
            return refuse(format!("{found} found, the UNet of a one-file checkpoint wanted (`{input}`)"));
        }
        let channels = file.shape(&input)?.get(1).copied().unwrap_or(0);
        if let Some((_, what)) = OTHER_INPUTS.iter().find(|(count, _)| *count == channels) {
            return refuse(format!("{what} ({channels} input channels) found, one from text to pictures wanted"));
        }
        let vaes: Vec<&'static str> = VAE.into_iter().filter(|prefix| begins(prefix)).collect();
        let vae = match vaes.as_slice() {
            [one] => *one,
            [] => return refuse(format!("no autoencoder found, one at `{}` wanted", VAE.join("` or `"))),
            both => return refuse(format!("two autoencoders found, at `{}`, one wanted", both.join("` and `"))),
        };
        if !begins("cond_stage_model.") {
            return refuse("no text encoder found, one at `cond_stage_model.` wanted".to_owned());
        }
        Ok(Self { file, vae })
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorFile {
        &self.file
    }

    /// What the names of the autoencoder's tensors begin with.
    pub(crate) fn vae(&self) -> &'static str {
        self.vae
    }

    /// Whether the file is of Stable Diffusion 2.x, whose text encoder is OpenCLIP's: it does not say whether its UNet predicts
    /// noise or velocity.
    pub fn is_version_2(&self) -> bool {
        self.file.names().iter().any(|name| name.starts_with(super::text::OPEN_CLIP))
    }
}
