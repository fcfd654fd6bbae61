//! The contract of a kind of reward, and what the rewards of a kind may ask for.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Tensor;
use ddpo_core::{Condition, Denoiser, Judge, NoiseSchedule, PromptMetadata, RgbImage};
use toml::Table;

use crate::recogniser::Recogniser;
use crate::{Error, HandlingOptions, Networks, OptionSpec, Repositories, Repository, Result};

/// Makes the rewards of a kind from their options.
///
/// ```
/// use ddpo_core::{Judge, Reward, RewardBatch};
/// use ddpo_rewards::{OptionSpec, Result, RewardContext, RewardFactory, RewardRegistry};
///
/// /// How bright an image is, on a scale of the user's.
/// struct Brightness(f32);
///
/// impl Reward for Brightness {
///     fn name(&self) -> &str {
///         "brightness"
///     }
///
///     fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
///         let mean = |pixels: &[u8]| pixels.iter().map(|&byte| f32::from(byte)).sum::<f32>() / pixels.len() as f32;
///         Ok(batch.images.iter().map(|image| self.0 * mean(image.pixels()) / 255.0).collect())
///     }
/// }
///
/// struct BrightnessFactory;
///
/// impl RewardFactory for BrightnessFactory {
///     fn kind(&self) -> &str {
///         "brightness"
///     }
///
///     fn about(&self) -> &str {
///         "how bright an image is"
///     }
///
///     fn options(&self) -> &[OptionSpec] {
///         const WHITE: OptionSpec = OptionSpec {
///             field: "white",
///             about: &["The reward of a white image."],
///             default: || Some(toml::Value::Float(1.0)),
///             example: None,
///             free: false,
///         };
///         &[WHITE]
///     }
///
///     fn open(&self, options: &toml::Table, _: &RewardContext) -> Result<Judge> {
///         let white = options.get("white").and_then(toml::Value::as_float).unwrap_or(1.0);
///         Ok(Judge::Image(Box::new(Brightness(white as f32))))
///     }
/// }
///
/// // What a run does with it: find the kind, check the options, and open it once the model is there.
/// let registry = RewardRegistry::default().with(BrightnessFactory);
/// let plan = registry.plan("brightness", &"white = 10.0".parse().unwrap())?;
/// let judge = plan.open(&RewardContext::default())?;
/// assert_eq!(judge.name(), "brightness");
/// # Ok::<(), ddpo_rewards::Error>(())
/// ```
pub trait RewardFactory: Send + Sync {
    /// The name of the kind, as after `kind =` in a configuration.
    fn kind(&self) -> &str;

    /// What such a reward prefers, in a line.
    fn about(&self) -> &str;

    /// Makes a reward. What can keep it from working is found here, before anything is sampled.
    ///
    /// # Errors
    /// Whatever keeps it from being made.
    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge>;

    /// The options that a configuration may give.
    fn options(&self) -> &[OptionSpec] {
        &[]
    }

    /// How it is written in a line, where more than its kind fits there.
    fn shorthand(&self) -> Option<Shorthand> {
        None
    }

    /// Checks options without opening anything, and says what the reward is called in metrics.
    ///
    /// # Errors
    /// [`Error::Options`](crate::Error::Options) for a value which does not fit.
    fn check(&self, _options: &Table) -> Result<String> {
        Ok(self.kind().to_owned())
    }

    /// Checks that the files and programs which options name are there. Nothing is opened, started or fetched.
    ///
    /// # Errors
    /// Names what is not there.
    fn check_files(&self, _options: &Table) -> Result<()> {
        Ok(())
    }

    /// Checks what only a model and its prompts can tell: whether it comes with the judge that is asked, and whether that knows what
    /// the prompts name. Nothing is opened, started or fetched.
    ///
    /// # Errors
    /// What is missing.
    fn check_context(&self, _options: &Table, _context: &RewardContext) -> Result<()> {
        Ok(())
    }

    /// The repositories of the hub that such a reward takes its networks from, whether they are here or not.
    ///
    /// # Errors
    /// [`Error::Options`](crate::Error::Options) for a value which does not fit.
    fn repositories(&self, _options: &Table) -> Result<Vec<Repository>> {
        Ok(Vec::new())
    }

    /// How such rewards are asked, unless a configuration says otherwise.
    fn handling(&self) -> HandlingOptions {
        HandlingOptions::default()
    }

    /// Makes options mean the same from any working directory; `directory` is the present one.
    fn anchor(&self, _options: &mut Table, _directory: &Path) {}
}

/// `KIND:TEXT`: a reward with an option in one line.
#[derive(Clone, Copy, Debug)]
pub struct Shorthand {
    /// What the text is, in capitals: `PROGRAM`.
    pub placeholder: &'static str,
    /// The options that the text stands for.
    pub parse: fn(&str) -> Result<Table>,
}

/// What rewards may ask for when they are opened.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct RewardContext {
    /// The model that is trained, as it was before; none where images are scored without one.
    pub base: Option<Arc<dyn BaseModel>>,
    /// The prompts of training and of evaluation; empty where they are not known beforehand.
    pub prompts: Vec<String>,
    /// Where networks of the hub come from; none where a reward has what it needs in a directory.
    pub repositories: Option<Arc<dyn Repositories>>,
    /// What is known of each, as many as prompts; empty where nothing is known of any.
    pub metadata: Vec<Arc<PromptMetadata>>,
    /// The judge that is shipped with the model; many have none.
    pub recogniser: Option<Arc<Recogniser>>,
    /// The networks of rewards, which all that are opened with this context or a clone of it have in common.
    pub networks: Networks,
}

impl RewardContext {
    /// The context of a run on a model.
    pub fn of(base: Arc<dyn BaseModel>, prompts: Vec<String>) -> Self {
        Self { base: Some(base), prompts, ..Self::default() }
    }

    /// The same context, in which networks of the hub can be had.
    #[must_use]
    pub fn with_repositories(self, repositories: Arc<dyn Repositories>) -> Self {
        Self { repositories: Some(repositories), ..self }
    }

    /// The same with these prompts and what is known of each.
    #[must_use]
    pub fn with_prompts(self, prompts: Vec<String>, metadata: Vec<Arc<PromptMetadata>>) -> Self {
        Self { prompts, metadata, ..self }
    }

    /// The same, with the judge that is shipped with the model.
    #[must_use]
    pub fn with_recogniser(self, recogniser: Option<Arc<Recogniser>>) -> Self {
        Self { recogniser, ..self }
    }

    /// The judge that is shipped with the model, for a reward of this kind.
    ///
    /// # Errors
    ///
    /// A model that has none, or no model.
    pub fn judge_for(&self, kind: &str) -> Result<Arc<Recogniser>> {
        let kind = kind.to_owned();
        match (&self.recogniser, &self.base) {
            (Some(recogniser), _) => Ok(recogniser.clone()),
            (None, Some(_)) => Err(Error::NeedsRecogniser { kind }),
            (None, None) => Err(Error::NeedsModel { kind }),
        }
    }
}

/// The model that is trained, as it was before training.
pub trait BaseModel: Send + Sync {
    /// What predicts noise, without guidance.
    fn denoiser(&self) -> Box<dyn Denoiser<4> + Send + Sync>;

    /// The noise levels it was trained with.
    ///
    /// # Errors
    /// [`ddpo_core::Error::Model`] where they are not of a known form.
    fn schedule(&self) -> ddpo_core::Result<NoiseSchedule>;

    /// The states of prompts, a row each.
    ///
    /// # Errors
    /// [`ddpo_core::Error::Model`] for a prompt that cannot be encoded.
    fn encode_prompts(&self, prompts: &[String]) -> ddpo_core::Result<Condition>;

    /// Clean latents `[N, h, w, C]` of images, which all have the same size.
    ///
    /// # Errors
    /// [`ddpo_core::Error::Model`] where sizes differ, or do not fit the model.
    fn encode_images(&self, images: &[RgbImage]) -> ddpo_core::Result<Tensor<4>>;
}
