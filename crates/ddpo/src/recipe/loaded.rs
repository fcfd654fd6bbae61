//! A model that is open for work: the pipeline on its device, and what the recipe needs of it.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use ddpo_core::schedule::Spacing;
use ddpo_core::scheduler::trained_steps;
use ddpo_core::{Condition, Denoiser, RgbImage, Scheduler};
use ddpo_models::{Adapter, DiffusionPolicy, Embedding, Lora, LoraConfig, Pipeline, Placements, Sampler};
use ddpo_nn::{FileDtype, ModelFiles};
use ddpo_rewards::recogniser::Recogniser;

use crate::adapter::AdapterSource;
use crate::config::{
    AlgorithmPlan, Parameters, PromptSyntax, RunPlan, SamplerPlan, SchedulerKind, SpacingKind, TrainOptions,
};
use crate::embedding::EmbeddingSource;
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::model::{ModelSource, is_pickled};
use crate::single_file;

use super::adapter_files::parts;
use super::directory::Product;
use super::identity::fingerprints;
use super::opening::OpenOptions;
use super::stack::products;

/// A model that is open for work. Clones share the weights.
#[derive(Clone, Debug)]
pub struct LoadedModel {
    pipeline: Pipeline,
    /// The model without adapters.
    base: Pipeline,
    /// What judges its samples, where it is shipped with such a thing.
    judge: Option<Arc<Recogniser>>,
    /// The model as its files have it.
    opened: Pipeline,
    /// Components without the variant that was asked for.
    plain: Vec<&'static str>,
    /// Words that were put on it.
    embeddings: Vec<Embedding>,
    syntax: PromptSyntax,
    device: Device,
    placements: Placements,
}

impl LoadedModel {
    /// Loads a model.
    ///
    /// # Errors
    ///
    /// Fails when it is not there, damaged, or of a kind that is not built, if no component has the variant, and if the device
    /// is not there or does not compute in the number type.
    pub fn open<'a>(source: &ModelSource, options: impl Into<OpenOptions<'a>>) -> Result<Self> {
        let options = options.into();
        let (device, variant) = (options.device.open()?, options.variant);
        let placements = options.placements(&device)?;
        let source = source.resolve(&Hub::from_env(), variant, &mut |_| {})?;
        let files = source.files()?;
        let mut plain = Vec::new();
        let pipeline = match (&source, variant) {
            (ModelSource::File { .. }, Some(found)) => {
                let expected = "none with a one-file checkpoint, which has one set of weights";
                return Err(Error::InvalidOption {
                    key: "model.variant",
                    found: found.to_owned(),
                    expected: expected.to_owned(),
                });
            }
            (ModelSource::File { path, .. }, None) => {
                let pipeline = Pipeline::load_single_file(&single_file::open(path)?, &files, placements.clone())?;
                single_file::check_prediction(path, &pipeline)?;
                pipeline
            }
            _ => {
                plain = Pipeline::without_variant(&files, variant)?;
                Pipeline::load_variant(&files, variant, placements.clone())?
            }
        };
        let judge = Recogniser::of_model(&files, &device)?.map(Arc::new);
        let (base, opened, syntax) = (pipeline.clone(), pipeline.clone(), PromptSyntax::Plain);
        Ok(Self { base, opened, pipeline, judge, plain, embeddings: Vec::new(), syntax, device, placements })
    }

    /// The components whose plain weights were read, because they have none of the variant that was asked for.
    pub fn without_variant(&self) -> &[&'static str] {
        &self.plain
    }

    /// The same model, whose prompts do not go through so many of the text encoder's last layers, as with diffusers' `clip_skip`.
    /// What guidance steers away from goes through all of them, as it does there.
    ///
    /// # Errors
    ///
    /// Fails when there are not so many layers.
    pub fn with_clip_skip(mut self, skipped: Option<usize>) -> Result<Self> {
        let layers = self.pipeline.text_encoder.config().num_hidden_layers;
        self.pipeline.clip_skip = match skipped {
            Some(found) if found > layers => {
                let expected = format!("at most {layers}, the layers of this model's text encoder");
                return Err(Error::InvalidOption { key: "sample.clip-skip", found: found.to_string(), expected });
            }
            skipped => skipped.unwrap_or(0),
        };
        self.base.clip_skip = self.pipeline.clip_skip;
        Ok(self)
    }

    /// The same model, which knows the words of these textual-inversion embeddings.
    ///
    /// # Errors
    ///
    /// Fails when one cannot be read, is of another model, or its word is known already.
    pub fn with_embeddings(mut self, embeddings: &[EmbeddingSource]) -> Result<Self> {
        for source in embeddings {
            let embedding = super::embeddings::load(source)?;
            self.pipeline = self.pipeline.with_embedding(&embedding)?;
            self.base = self.base.with_embedding(&embedding)?;
            self.embeddings.push(embedding);
        }
        Ok(self)
    }

    /// Where it computes, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// What judges whether its samples show what was asked for, where it is shipped with such a thing.
    pub fn judge(&self) -> Option<Arc<Recogniser>> {
        self.judge.clone()
    }

    /// The parts of the model.
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The same model, which reads prompts in this syntax.
    #[must_use]
    pub fn reading(&self, syntax: PromptSyntax) -> Self {
        Self { syntax, ..self.clone() }
    }

    /// The text encoder's states for prompts, a row each.
    ///
    /// # Errors
    ///
    /// Fails when a prompt cannot be encoded.
    pub fn encode(&self, prompts: &[String]) -> Result<Condition> {
        Ok(Condition::new(match self.syntax {
            PromptSyntax::Plain => self.pipeline.encode_prompts(prompts)?,
            PromptSyntax::A1111 => self.pipeline.encode_weighted(prompts)?,
        }))
    }

    /// The states of prompts, a row each, and of the one that guidance steers away from, all of as many pieces.
    ///
    /// # Errors
    ///
    /// Fails when a prompt cannot be encoded.
    pub fn encode_guided(&self, prompts: &[String], negative: &str) -> Result<(Condition, Condition)> {
        if self.syntax == PromptSyntax::Plain {
            return Ok((self.encode(prompts)?, self.encode_negative(negative)?));
        }
        let all: Vec<String> = prompts.iter().cloned().chain([negative.to_owned()]).collect();
        let states = self.encode(&all)?;
        let rows: Vec<usize> = (0..prompts.len()).collect();
        Ok((states.select(&rows)?, states.select(&[prompts.len()])?))
    }

    /// The states of what guidance steers away from, `[1, T, C]`.
    ///
    /// # Errors
    ///
    /// Fails when the prompt cannot be encoded.
    pub fn encode_negative(&self, prompt: &str) -> Result<Condition> {
        Ok(Condition::new(self.pipeline.encode_negative_prompts(&[prompt.to_owned()])?))
    }

    /// Images `[N, H, W, 3]` in [0, 1] of latents `[N, h, w, C]`.
    ///
    /// # Errors
    ///
    /// Fails when the latents do not fit the autoencoder.
    pub fn decode(&self, latents: &Tensor<4>) -> Result<Tensor<4>> {
        Ok(self.pipeline.decode(latents.clone())?)
    }

    /// Latents `[N, h, w, C]` of pictures, which all have the same size: the mean of the autoencoder's distribution.
    ///
    /// # Errors
    ///
    /// Fails when sizes differ, or are no multiple of the autoencoder's factor.
    pub fn encode_images(&self, images: &[RgbImage]) -> Result<Tensor<4>> {
        Ok(self.pipeline.encode_images(from_pictures(images, &self.device)?)?)
    }

    /// A sampler over the model's own noise levels.
    ///
    /// # Errors
    ///
    /// Fails when there are more steps than the model was trained with, or not one η a step.
    pub fn scheduler(&self, plan: &SamplerPlan) -> Result<Box<dyn Scheduler>> {
        let config = &self.pipeline.scheduler;
        let config = match plan.spacing {
            SpacingKind::Model => config.clone(),
            SpacingKind::Leading => config.spaced(Spacing::Leading { offset: config.steps_offset() }),
            SpacingKind::Trailing => config.spaced(Spacing::Trailing),
            SpacingKind::Linspace => config.spaced(Spacing::Linspace),
            SpacingKind::LogSnr => config.spaced(Spacing::LogSnr { offset: config.steps_offset() }),
        };
        let sampler = match (plan.scheduler, &plan.eta_by_step) {
            (SchedulerKind::Ddim, Some(etas)) => {
                return Ok(Box::new(config.ddim(plan.steps, 1.0)?.with_etas(etas.clone())?));
            }
            (SchedulerKind::Ddim, None) => Sampler::Ddim { eta: plan.eta },
            (SchedulerKind::Ddpm, _) => Sampler::Ddpm,
            (SchedulerKind::EulerAncestral, _) => Sampler::EulerAncestral,
            (SchedulerKind::Consistency, _) => Sampler::Consistency,
        };
        Ok(config.sampler(sampler, plan.steps)?)
    }

    /// A line for each prompt whose end does not fit the text encoder, naming the words that are lost.
    ///
    /// # Errors
    ///
    /// Fails when a prompt cannot be tokenized.
    pub fn truncations<'a>(&self, prompts: impl IntoIterator<Item = &'a String>) -> Result<Vec<String>> {
        if self.syntax == PromptSyntax::A1111 {
            return Ok(Vec::new());
        }
        let longest = self.pipeline.tokenizer.max_length();
        let mut lines = Vec::new();
        for prompt in prompts {
            if let Some(dropped) = self.pipeline.dropped_words(prompt)? {
                lines.push(format!(
                    "a prompt is longer than {longest} tokens, so `{dropped}` is dropped from `{prompt}`"
                ));
            }
        }
        Ok(lines)
    }

    /// The latents' shape for images of `[height, width]` pixels, or of the model's own size; the batch is 1.
    ///
    /// # Errors
    ///
    /// Fails when a size is not a multiple of the autoencoder's factor.
    pub fn latent_shape(&self, size: [Option<usize>; 2]) -> Result<[usize; 4]> {
        let own = self.pipeline.image_size();
        let [height, width, channels] =
            self.pipeline.latent_shape_of(size[0].unwrap_or(own[0]), size[1].unwrap_or(own[1]))?;
        Ok([1, height, width, channels])
    }

    /// Checks what of a plan only the model can tell: image size, number of steps, and whether any of them is trained on.
    ///
    /// # Errors
    ///
    /// Fails as [`LoadedModel::latent_shape`] and [`LoadedModel::scheduler`] do, and when no step is left to train on.
    pub fn check(&self, plan: &RunPlan) -> Result<()> {
        let sample = &plan.config.sample;
        self.latent_shape([sample.height, sample.width])?;
        let scheduler = self.scheduler(&sample.sampler())?;
        if let (Some(share), None) = (plan.config.eval.stop_as_asked, &self.judge) {
            let expected = "none for a model that comes without a judge (the folder judge/)".to_owned();
            return Err(Error::InvalidOption { key: "eval.stop-as-asked", found: share.to_string(), expected });
        }
        match &plan.algorithm {
            AlgorithmPlan::PolicyGradient(_) => check_trained_steps(&*scheduler, &plan.config.train),
            // Its timesteps are drawn from all that the model was trained with.
            AlgorithmPlan::Regression(_) | AlgorithmPlan::Distillation(_) => Ok(()),
            AlgorithmPlan::Forward(_) | AlgorithmPlan::Preference(_) => {
                check_first_timestep(self.pipeline.scheduler.schedule()?.train_steps(), &plan.config.train)
            }
        }
    }

    /// Checks that the files which a plan names besides the model are there and fit it: words of textual inversion, and adapters.
    ///
    /// # Errors
    ///
    /// Whatever keeps one from being read or from being put on this model.
    pub fn check_files(&self, plan: &RunPlan) -> Result<()> {
        fingerprints(plan)?;
        let loaded = self.clone().with_clip_skip(plan.config.sample.clip_skip)?;
        let loaded = loaded.with_embeddings(&plan.config.model.embeddings())?.adapted(&plan.frozen)?;
        match plan.config.train.parameters {
            Parameters::Full => Ok(()),
            Parameters::Lora => loaded.trained_adapter(plan).map(drop),
        }
    }

    /// The model with these adapters on its UNet and its text encoder, the lowest first. A run that trained the whole network stands
    /// for its model, and has to be the first.
    ///
    /// # Errors
    ///
    /// Fails when an adapter cannot be read or belongs to another model.
    pub fn adapted(&self, adapters: &[AdapterSource]) -> Result<Self> {
        let mut pipeline = self.pipeline.clone();
        for (place, (product, strength)) in products(adapters)?.into_iter().enumerate() {
            pipeline = match product {
                Product::Adapter(path) => self.load_adapter(&path)?.attach(&pipeline, strength)?,
                Product::Model(path) if place == 0 && strength == 1.0 => {
                    let files = ModelFiles::Directory(path);
                    let trained = Pipeline::load_variant(&files, None, self.placements.clone())?;
                    let trained = Pipeline { clip_skip: pipeline.clip_skip, ..trained };
                    let add = |trained: Pipeline, embedding| trained.with_embedding(embedding);
                    self.embeddings.iter().try_fold(trained, add)?
                }
                Product::Model(path) => return Err(not_first(&path, strength)),
            };
        }
        Ok(Self { pipeline, ..self.clone() })
    }

    /// The model without adapters.
    #[must_use]
    pub fn base(&self) -> Self {
        Self { pipeline: self.base.clone(), ..self.clone() }
    }

    /// The denoiser, with the adapters that are on it and these. What they are to the text encoder only
    /// [`adapted`](LoadedModel::adapted) takes.
    ///
    /// # Errors
    ///
    /// Those of [`LoadedModel::adapted`].
    pub fn denoiser(&self, adapters: &[AdapterSource]) -> Result<Box<dyn Denoiser<4> + Send + Sync>> {
        Ok(Box::new(self.adapted(adapters)?.pipeline.denoiser()))
    }

    /// What a plan trains.
    ///
    /// # Errors
    ///
    /// Fails when the adapter to start from cannot be read, or its targets name no layer.
    pub(super) fn policy(&self, plan: &RunPlan) -> Result<DiffusionPolicy> {
        if plan.config.train.parameters == Parameters::Full {
            let policy = DiffusionPolicy::full(self.pipeline.denoiser(), &self.device.clone().autodiff())?;
            return Ok(policy.recomputing(plan.config.train.gradient_checkpointing));
        }
        let adapter = self.trained_adapter(plan)?;
        let policy = DiffusionPolicy::lora(self.pipeline.denoiser(), &adapter, &self.device.clone().autodiff())?;
        Ok(policy.recomputing(plan.config.train.gradient_checkpointing))
    }

    /// The adapter that training begins with: that of a file, or a fresh one.
    fn trained_adapter(&self, plan: &RunPlan) -> Result<Lora> {
        let lora = &plan.config.lora;
        match &lora.path {
            Some(path) => match Product::find(Path::new(path))? {
                Product::Adapter(path) => Ok(self.load_adapter(&path)?.trainable()?),
                Product::Model(path) => Err(not_an_adapter(&path)),
            },
            None => {
                let config = LoraConfig { rank: lora.rank, alpha: lora.alpha, targets: lora.targets.clone() };
                Ok(Lora::init(self.pipeline.unet.specs(), &config, plan.config.run.seed, &self.device)?)
            }
        }
    }

    /// Writes the whole model with a policy's weights; words that were put on it stay in their own files.
    pub(super) fn save_with(&self, policy: &DiffusionPolicy, directory: &Path) -> Result<()> {
        let pipeline = Pipeline { unet_weights: policy.weights().clone(), ..self.opened.clone() };
        Ok(pipeline.save(directory, FileDtype::F32)?)
    }

    fn load_adapter(&self, path: &Path) -> Result<Adapter> {
        if is_pickled(path) {
            return Err(Error::PickledWeights { path: path.to_owned() });
        }
        Ok(Adapter::load(&parts(path), &self.base, &self.device)?)
    }
}

fn not_an_adapter(path: &Path) -> Error {
    let found = format!("the whole model {}", path.display());
    Error::InvalidOption {
        key: "lora.path",
        found,
        expected: "an adapter; of a whole model, --model takes the directory".into(),
    }
}

fn not_first(path: &Path, strength: f64) -> Error {
    let found = format!("the whole model {} at strength {strength}, or above an adapter", path.display());
    Error::InvalidOption { key: "--lora", found, expected: "a whole model first and at strength 1".into() }
}

fn check_trained_steps(scheduler: &dyn Scheduler, train: &TrainOptions) -> Result<()> {
    let timesteps: Vec<f64> = scheduler.timesteps().iter().map(|timestep| timestep.0).collect();
    let trained = trained_steps(scheduler, train.first_timestep as f64)?.len();
    if (trained as f64 * train.timestep_fraction) as usize > 0 {
        return Ok(());
    }
    Err(Error::InvalidOption {
        key: "train.first-timestep",
        found: format!("{}, which leaves {trained} of the steps at {timesteps:?}", train.first_timestep),
        expected: format!("enough steps for a share of {} to be one", train.timestep_fraction),
    })
}

/// Whether any of all timesteps is left to train on.
fn check_first_timestep(timesteps: usize, train: &TrainOptions) -> Result<()> {
    if train.first_timestep < timesteps {
        return Ok(());
    }
    Err(Error::InvalidOption {
        key: "train.first-timestep",
        found: train.first_timestep.to_string(),
        expected: format!("below {timesteps}, the timesteps of the model"),
    })
}

/// The values of a tensor in row-major order.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>> {
    let read = |error: &dyn std::fmt::Display| Error::Train(ddpo_train::Error::Device(error.to_string()));
    let data = tensor.try_into_data().map_err(|error| read(&error))?;
    data.try_into_vec::<f32>().map_err(|error| read(&format!("{error:?}")))
}

/// 8-bit pictures as images `[N, H, W, 3]` in [0, 1]. All have the size of the first.
pub(super) fn from_pictures(pictures: &[RgbImage], device: &Device) -> Result<Tensor<4>> {
    let size = |picture: &RgbImage| [picture.width(), picture.height()];
    let wanted = pictures.first().map_or([0, 0], size);
    if let Some(other) = pictures.iter().map(size).find(|found| *found != wanted) {
        return Err(Error::PictureSizes { found: other, wanted });
    }
    let unit = |&byte: &u8| f32::from(byte) / 255.0;
    let values: Vec<f32> = pictures.iter().flat_map(|picture| picture.pixels()).map(unit).collect();
    let shape = [pictures.len(), wanted[1] as usize, wanted[0] as usize, 3];
    Ok(Tensor::from_data(TensorData::new(values, shape), device))
}

/// Images `[N, H, W, 3]` in [0, 1] as 8-bit pictures.
pub(super) fn to_pictures(images: &Tensor<4>) -> Result<Vec<RgbImage>> {
    let [_, height, width, channels] = images.dims();
    let all = values(images.clone())?;
    let pictures = all.chunks_exact(height * width * channels);
    pictures.map(|picture| Ok(RgbImage::from_unit(width as u32, height as u32, picture)?)).collect()
}
