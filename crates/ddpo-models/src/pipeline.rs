//! The parts of a text-to-image model joined: prompts to states, latents to pictures, and the directory they live in.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use burn::tensor::{Device, Int, Tensor, TensorData};
use ddpo_nn::{
    Error, Fields, FileDtype, ModelFiles, Placement, Result, Specs, TextEncoder, TextEncoderConfig, Tokenizer, Weights,
    open_weights, write_atomically, write_json,
};
use serde_json::{Value, json};

use crate::{
    denoiser::UnetDenoiser,
    required::{COMPONENTS, check_variant},
    scheduler::SchedulerConfig,
    single_file::{SingleFile, UNET, text_weights, unet_name, vae_name},
    unet::{Unet, UnetConfig},
    vae::{Vae, VaeConfig},
};

/// A latent text-to-image model with frozen weights. Clones share everything.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The denoiser.
    pub unet: Arc<Unet>,
    /// The denoiser's weights.
    pub unet_weights: Weights,
    /// The autoencoder.
    pub vae: Arc<Vae>,
    /// The autoencoder's weights.
    pub vae_weights: Weights,
    /// The text encoder.
    pub text_encoder: Arc<TextEncoder>,
    /// The text encoder's weights.
    pub text_weights: Weights,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// The noise levels and the meaning of a prediction.
    pub scheduler: SchedulerConfig,
    /// How many of the text encoder's last layers prompts do not go through: diffusers' `clip_skip`.
    pub clip_skip: usize,
}

/// Where the weights of a pipeline's networks go, and in what format the matrices of their products are.
#[derive(Clone, Debug)]
pub struct Placements {
    /// Of the denoiser.
    pub unet: Placement,
    /// Of the autoencoder and the text encoder.
    pub others: Placement,
}

impl From<&Device> for Placements {
    /// All in `f32`.
    fn from(device: &Device) -> Self {
        Self { unet: device.into(), others: device.into() }
    }
}

/// The components of a `StableDiffusionPipeline` that are read, with the classes that are accepted.
const CLASSES: [(&str, &[&str]); 4] = [
    ("unet", &["UNet2DConditionModel"]),
    ("vae", &["AutoencoderKL"]),
    ("text_encoder", &["CLIPTextModel"]),
    ("tokenizer", &["CLIPTokenizer", "CLIPTokenizerFast"]),
];

/// What else such a pipeline has: how it steps is read from the scheduler's own file, a checker of its pictures does not change
/// them, and an image encoder serves image prompts, which there are none of here.
const WITHOUT_EFFECT: [&str; 5] =
    ["scheduler", "safety_checker", "requires_safety_checker", "feature_extractor", "image_encoder"];

impl Pipeline {
    /// Reads a diffusers directory, on the disk or in the program.
    ///
    /// # Errors
    ///
    /// Whatever is missing, damaged, or not implemented, by its name, with the value found and the value wanted.
    pub fn load(files: &ModelFiles, device: &Device) -> Result<Self> {
        Self::load_variant(files, None, device)
    }

    /// Reads a diffusers directory with the weights of a `variant`, such as `fp16`, where a component has them; of the others,
    /// which [`Pipeline::without_variant`] names, and without a variant, the plain weights are read if there are any.
    ///
    /// # Errors
    ///
    /// Those of [`Pipeline::load`], or if no component has the variant.
    pub fn load_variant(files: &ModelFiles, variant: Option<&str>, placements: impl Into<Placements>) -> Result<Self> {
        let Placements { unet, others } = placements.into();
        let described = Described::read(files)?;
        let [of_unet, of_vae, of_text] = COMPONENTS;
        Self::without_variant(files, variant)?;
        let open = |(folder, names)| open_weights(files, folder, names, variant);
        let weights = [
            Weights::load(described.unet.specs(), &open(of_unet)?, unet)?,
            Weights::load(described.vae.specs(), &open(of_vae)?, others.clone())?,
            described.text_encoder.load(&open(of_text)?, others)?,
        ];
        described.join(weights)
    }

    /// The components whose plain weights are read because they have none of the `variant`.
    ///
    /// # Errors
    ///
    /// If no component has any.
    pub fn without_variant(files: &ModelFiles, variant: Option<&str>) -> Result<Vec<&'static str>> {
        check_variant(&|name| files.has(name), variant)
    }

    /// Reads a one-file checkpoint; everything but the weights is that of the diffusers directory `configuration`, whose own
    /// weights, if it has any, are not looked at. Equal to diffusers' `from_single_file` with that `config`.
    ///
    /// # Errors
    ///
    /// Those of [`Pipeline::load`].
    pub fn load_single_file(
        checkpoint: &SingleFile,
        configuration: &ModelFiles,
        placements: impl Into<Placements>,
    ) -> Result<Self> {
        let (placements, described) = (placements.into(), Described::read(configuration)?);
        let (file, unet, vae) = (checkpoint.tensors(), &described.unet, &described.vae);
        let load = |specs: &Specs, rename: &dyn Fn(&str) -> String, prefix: &str, placement: Placement| {
            Weights::load_renamed(specs, file, rename, |name| !name.starts_with(prefix), placement)
        };
        let of_vae = checkpoint.vae();
        let weights = [
            load(unet.specs(), &|name| unet_name(unet.config(), name), UNET, placements.unet)?,
            load(vae.specs(), &|name| vae_name(vae.config(), of_vae, name), of_vae, placements.others.clone())?,
            text_weights(&described.text_encoder, file, placements.others)?,
        ];
        described.join(weights)
    }

    /// Refuses parts that do not fit each other.
    ///
    /// # Errors
    ///
    /// The first pair of sizes that differ.
    pub fn check(&self) -> Result<()> {
        let (unet, vae, text) = (self.unet.config(), self.vae.config(), self.text_encoder.config());
        let equal = |field: &str, found: usize, wanted: usize, of: &str| {
            if found == wanted { Ok(()) } else { Err(Error::config("unet", field, found, format!("{wanted}, {of}"))) }
        };
        equal("cross_attention_dim", unet.cross_attention_dim, text.hidden_size, "the text encoder's hidden_size")?;
        equal("in_channels", unet.in_channels, vae.latent_channels, "the vae's latent_channels")?;
        equal("out_channels", unet.out_channels, vae.latent_channels, "the vae's latent_channels")?;
        if self.tokenizer.max_length() > text.max_position_embeddings {
            let wanted =
                format!("at most {}, the text encoder's max_position_embeddings", text.max_position_embeddings);
            return Err(Error::config("tokenizer", "model_max_length", self.tokenizer.max_length(), wanted));
        }
        Ok(())
    }

    /// The UNet with its frozen weights as a denoiser.
    pub fn denoiser(&self) -> UnetDenoiser {
        UnetDenoiser::new(self.unet.clone(), self.unet_weights.clone(), self.scheduler.prediction)
    }

    /// The text states of prompts, without the layers that are skipped; a prompt that occurs several times is encoded once.
    ///
    /// # Shapes
    ///
    /// `B` prompts `-> [B, S, C]`
    ///
    /// # Errors
    ///
    /// If there is no prompt, or one cannot be tokenized.
    pub fn encode_prompts(&self, prompts: &[String]) -> Result<Tensor<3>> {
        self.encode_skipping(prompts, self.clip_skip)
    }

    /// The text states of what guidance steers away from, through all layers: diffusers skips none for them.
    ///
    /// # Errors
    ///
    /// Those of [`Pipeline::encode_prompts`].
    pub fn encode_negative_prompts(&self, prompts: &[String]) -> Result<Tensor<3>> {
        self.encode_skipping(prompts, 0)
    }

    fn encode_skipping(&self, prompts: &[String], skipped: usize) -> Result<Tensor<3>> {
        let mut ids = Vec::new();
        let mut places: BTreeMap<&str, i64> = BTreeMap::new();
        let mut rows: Vec<i64> = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            if !places.contains_key(prompt.as_str()) {
                places.insert(prompt, ids.len() as i64);
                ids.push(self.tokenizer.encode(prompt)?);
            }
            rows.extend(places.get(prompt.as_str()));
        }
        let states = self.text_encoder.forward_skipping(&self.text_weights, &ids, skipped)?.hidden;
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [prompts.len()]), &states.device());
        Ok(states.select(0, rows))
    }

    /// The words at the end of a prompt that the text encoder will not see, if it is too long.
    ///
    /// # Errors
    ///
    /// If the prompt cannot be tokenized.
    pub fn dropped_words(&self, prompt: &str) -> Result<Option<String>> {
        Ok(self.tokenizer.encode_reporting(prompt)?.dropped)
    }

    /// Pictures of scaled latents.
    ///
    /// # Shapes
    ///
    /// `[B, h, w, C] -> [B, H, W, 3]` in `[0, 1]`
    ///
    /// # Errors
    ///
    /// If the latents' channels are not the autoencoder's.
    pub fn decode(&self, latents: Tensor<4>) -> Result<Tensor<4>> {
        let [batch, height, width, _] = latents.dims();
        let factor = self.vae.config().downscale();
        let chunk = rows_at_once(height * factor * width * factor * self.vae.config().block_out_channels[0]);
        let decode = |start: usize| {
            let part = latents.clone().narrow(0, start, chunk.min(batch - start));
            let images = self.vae.decode(&self.vae_weights, self.vae.unscale(part))?;
            Ok(images.mul_scalar(0.5).add_scalar(0.5).clamp(0.0, 1.0))
        };
        Ok(Tensor::cat((0..batch).step_by(chunk).map(decode).collect::<Result<Vec<_>>>()?, 0))
    }

    /// Scaled latents of pictures: the mean of the encoder's distribution.
    ///
    /// # Shapes
    ///
    /// `[B, H, W, 3]` in `[0, 1]` `-> [B, h, w, C]`
    ///
    /// # Errors
    ///
    /// If a size does not fit the autoencoder.
    pub fn encode_images(&self, images: Tensor<4>) -> Result<Tensor<4>> {
        let [batch, height, width, _] = images.dims();
        let chunk = rows_at_once(height * width * self.vae.config().block_out_channels[0]);
        let encode = |start: usize| {
            let part = images.clone().narrow(0, start, chunk.min(batch - start)).mul_scalar(2.0).sub_scalar(1.0);
            Ok(self.vae.scale(self.vae.encode(&self.vae_weights, part)?.mean))
        };
        Ok(Tensor::cat((0..batch).step_by(chunk).map(encode).collect::<Result<Vec<_>>>()?, 0))
    }

    /// Height, width and channels of the latents the UNet was trained on.
    pub fn latent_shape(&self) -> [usize; 3] {
        let config = self.unet.config();
        [config.sample_size[0], config.sample_size[1], config.in_channels]
    }

    /// Height, width and channels of the latents of a picture of `height` by `width` pixels.
    ///
    /// # Errors
    ///
    /// If a size is zero or not a multiple of the autoencoder's factor.
    pub fn latent_shape_of(&self, height: usize, width: usize) -> Result<[usize; 3]> {
        let factor = self.vae.config().downscale();
        for (what, size) in [("height", height), ("width", width)] {
            if size == 0 || !size.is_multiple_of(factor) {
                return Err(Error::input("lay out a picture", what, size, format!("a multiple of {factor}")));
            }
        }
        Ok([height / factor, width / factor, self.unet.config().in_channels])
    }

    /// Height and width of a picture in pixels, for the latents the UNet was trained on.
    pub fn image_size(&self) -> [usize; 2] {
        self.unet.config().sample_size.map(|size| size * self.vae.config().downscale())
    }

    /// Writes a diffusers directory that this crate and `StableDiffusionPipeline.from_pretrained` read.
    ///
    /// Each file appears whole or not at all, and `model_index.json`, without which nothing is a model, last.
    ///
    /// # Errors
    ///
    /// If a value is not finite in `dtype`, or a file cannot be written.
    pub fn save(&self, directory: &Path, dtype: FileDtype) -> Result<()> {
        let weights = [
            ("unet/diffusion_pytorch_model.safetensors", &self.unet_weights),
            ("vae/diffusion_pytorch_model.safetensors", &self.vae_weights),
            ("text_encoder/model.safetensors", &self.text_weights),
        ];
        for (name, weights) in weights {
            write_atomically(&directory.join(name), &weights.to_safetensors(dtype)?)?;
        }
        write_json(&directory.join("unet/config.json"), &self.unet.config().to_json())?;
        write_json(&directory.join("vae/config.json"), &self.vae.config().to_json())?;
        write_json(&directory.join("text_encoder/config.json"), &self.text_encoder.config().to_json())?;
        write_json(&directory.join("scheduler/scheduler_config.json"), &self.scheduler.to_json())?;
        for (name, content) in self.tokenizer.files() {
            write_atomically(&directory.join("tokenizer").join(name), content)?;
        }
        write_json(&directory.join("model_index.json"), &self.index())
    }

    fn index(&self) -> Value {
        let pairs = self.tokenizer.files().iter().any(|(name, _)| name == "vocab.json");
        json!({
            "_class_name": "StableDiffusionPipeline",
            "_diffusers_version": crate::DIFFUSERS_VERSION,
            "feature_extractor": [null, null],
            "image_encoder": [null, null],
            "requires_safety_checker": false,
            "safety_checker": [null, null],
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", if pairs { "CLIPTokenizer" } else { "CLIPTokenizerFast" }],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        })
    }
}

/// A pipeline without weights: what its configurations and its tokenizer say.
struct Described {
    unet: Unet,
    vae: Vae,
    text_encoder: TextEncoder,
    tokenizer: Tokenizer,
    scheduler: SchedulerConfig,
}

impl Described {
    fn read(files: &ModelFiles) -> Result<Self> {
        check_index(files)?;
        let config = |folder: &str| files.text(&format!("{folder}/config.json"), "a component's configuration");
        let unet = Unet::new(UnetConfig::from_json(&config("unet")?)?)?;
        let vae = Vae::new(VaeConfig::from_json(&config("vae")?)?)?;
        let text_encoder = TextEncoder::new(TextEncoderConfig::from_json(&config("text_encoder")?)?)?;
        let scheduler = files.text("scheduler/scheduler_config.json", "the scheduler's configuration")?;
        let scheduler = SchedulerConfig::from_json(&scheduler)?;
        Ok(Self { unet, vae, text_encoder, tokenizer: Tokenizer::from_files(files)?, scheduler })
    }

    /// The pipeline with the weights of UNet, autoencoder and text encoder.
    fn join(self, weights: [Weights; 3]) -> Result<Pipeline> {
        let [unet_weights, vae_weights, text_weights] = weights;
        let pipeline = Pipeline {
            unet_weights,
            vae_weights,
            text_weights,
            unet: Arc::new(self.unet),
            vae: Arc::new(self.vae),
            text_encoder: Arc::new(self.text_encoder),
            tokenizer: self.tokenizer,
            scheduler: self.scheduler,
            clip_skip: 0,
        };
        pipeline.check()?;
        Ok(pipeline)
    }
}

/// Refuses what is not a Stable Diffusion 1.x or 2.x pipeline.
fn check_index(files: &ModelFiles) -> Result<()> {
    let index = files.text("model_index.json", "a diffusers directory's list of components")?;
    let mut fields = Fields::parse("model_index", "model_index.json", &index)?;
    let class: String = fields.take("_class_name", String::new())?;
    if !class.starts_with("StableDiffusion") || class.contains("XL") || class.contains('3') {
        return Err(fields.refuse("_class_name", &json!(class), "StableDiffusionPipeline"));
    }
    for (component, accepted) in CLASSES {
        let pair: Vec<Option<String>> = fields.take(component, vec![])?;
        if !matches!(pair.as_slice(), [_, Some(class)] if accepted.contains(&class.as_str())) {
            return Err(fields.refuse(component, &json!(pair), accepted.join(" or ")));
        }
    }
    for other in ["text_encoder_2", "text_encoder_3", "unet_2", "transformer", "prior"] {
        let pair: Vec<Option<String>> = fields.take(other, vec![])?;
        if pair.iter().any(Option::is_some) {
            return Err(fields.refuse(other, &json!(pair), "no such component"));
        }
    }
    fields.ignore(&WITHOUT_EFFECT);
    fields.finish()
}

/// How many images of so many activations fit a bound on memory; rows do not depend on their batch.
fn rows_at_once(activations: usize) -> usize {
    const MOST: usize = 1 << 25;
    (MOST / activations.max(1)).max(1)
}
