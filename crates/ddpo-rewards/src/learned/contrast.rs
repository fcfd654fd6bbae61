//! The rewards that compare a picture with its prompt in CLIP's space: CLIPScore, PickScore, HPS v2.

use std::path::Path;
use std::sync::Arc;

use ddpo_core::{Judge, Reward, RewardBatch};
use ddpo_nn::{ClipConfig, Fit, ImageProcessor, ModelFiles, Tokenizer};
use toml::Table;

use super::clip::ClipScorer;
use super::source::{Published, Source, anchor, clip_files, tokenizer_files, weights};
use super::{ModelFailure, NetworkDtype, Repository};
use crate::options::reward_options;
use crate::{OptionSpec, Result, RewardContext, RewardFactory, read_options};

reward_options! {
    /// Where the network of a reward in CLIP's space is.
    ContrastOptions {
        /// A directory, or a hub id; empty for the published model.
        model: String = String::new();
        /// Branch, tag or commit of a hub id; empty for the published model's known commit, or else `main`.
        revision: String = String::new();
        /// The format of the network's products: f32, or bf16 for less time and memory and other last digits.
        dtype: NetworkDtype = NetworkDtype::F32;
    }
}

/// OpenAI's CLIP ViT-L/14, and its commit.
const CLIP: (&str, &str) = ("openai/clip-vit-large-patch14", "32bd64288804d66eefd0ccbe215aa642df71cc41");

/// Where the vocabulary of all CLIPs is, for weights that come without one.
static VOCABULARY: Published = Published {
    id: CLIP.0,
    revision: CLIP.1,
    about: "CLIP's vocabulary, 1.4 MB",
    licence: "MIT",
    choose: tokenizer_files,
};

/// What a cosine becomes.
#[derive(Clone, Copy, Debug)]
enum Scale {
    /// `max(100 cos, 0)`.
    Percent,
    /// The cosine times e to the power of the model's `logit_scale`.
    Logit,
    /// The cosine.
    Cosine,
}

/// Makes the rewards of a kind.
pub(crate) struct ContrastFactory {
    kind: &'static str,
    about: &'static str,
    published: Published,
    scale: Scale,
    /// How the published weights are converted, where they are a pickle.
    conversion: Option<&'static str>,
}

/// CLIPScore (Hessel et al., arXiv 2104.08718) as torchmetrics scales it.
pub(crate) const CLIP_SCORE: ContrastFactory = ContrastFactory {
    kind: "clip-score",
    about: "how near the image is to its prompt in CLIP's space: 100 times their cosine, at least 0",
    published: Published {
        id: CLIP.0,
        revision: CLIP.1,
        about: "CLIP ViT-L/14, 1.7 GB",
        licence: "MIT",
        choose: clip_files,
    },
    scale: Scale::Percent,
    conversion: None,
};

/// PickScore (Kirstain et al., arXiv 2305.01569).
pub(crate) const PICK_SCORE: ContrastFactory = ContrastFactory {
    kind: "pickscore",
    about: "which image people would pick for its prompt, by PickScore",
    published: Published {
        id: "yuvalkirstain/PickScore_v1",
        revision: "a4e4367c6dfa7288a00c550414478f865b875800",
        about: "PickScore, a CLIP ViT-H/14, 3.9 GB",
        licence: "MIT",
        choose: clip_files,
    },
    scale: Scale::Logit,
    conversion: None,
};

/// HPS v2 (Wu et al., arXiv 2306.09341).
pub(crate) const HPS_V2: ContrastFactory = ContrastFactory {
    kind: "hpsv2",
    about: "how people would like the image for its prompt, by HPS v2",
    published: Published {
        id: "xswu/HPSv2",
        revision: "697403c78157020a1ae59d23f111aa58ced35b0a",
        about: "HPS v2.1, a CLIP ViT-H/14",
        licence: "Apache-2.0",
        choose: clip_files,
    },
    scale: Scale::Cosine,
    conversion: Some(
        "python -c \"import os, torch; from huggingface_hub import hf_hub_download as get; from safetensors.torch import save_file; \
         os.makedirs('hpsv2', exist_ok=True); save_file(torch.load(get('xswu/HPSv2', 'HPS_v2.1_compressed.pt'), \
         map_location='cpu', weights_only=True)['state_dict'], 'hpsv2/model.safetensors')\"",
    ),
};

impl ContrastFactory {
    fn options(&self, options: &Table) -> Result<ContrastOptions> {
        let mut options: ContrastOptions = read_options(self.kind, options)?;
        if options.model.is_empty() {
            options.model = self.published.id.to_owned();
        }
        Ok(options)
    }

    fn source<'a>(&'a self, options: &'a ContrastOptions) -> Source<'a> {
        Source { kind: self.kind, model: &options.model, revision: &options.revision, published: &self.published }
    }

    fn vocabulary(&self) -> Source<'_> {
        Source { kind: self.kind, model: VOCABULARY.id, revision: "", published: &VOCABULARY }
    }

    /// The command that converts a model which is the published pickle.
    fn conversion(&self, options: &ContrastOptions) -> Option<&'static str> {
        self.conversion.filter(|_| options.model == self.published.id)
    }

    fn tokenizer(&self, files: &ModelFiles, context: &RewardContext) -> Result<Tokenizer> {
        let read = |files: &ModelFiles| Tokenizer::from_folder(files, "");
        if files.has("vocab.json") || files.has("tokenizer.json") {
            return read(files).map_err(|error| self.failed(error));
        }
        read(&self.vocabulary().files(context)?).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ddpo_nn::Error) -> crate::Error {
        self.vocabulary().failed(error)
    }

    /// The description of the network: HPS v2's weights come without one.
    fn config(&self, files: &ModelFiles) -> ddpo_nn::Result<ClipConfig> {
        let is_described = files.has("config.json") || files.has("open_clip_config.json");
        if self.conversion.is_some() && !is_described {
            Ok(ClipConfig::vit_h_14())
        } else {
            ClipConfig::from_files(files)
        }
    }

    fn processor(&self, files: &ModelFiles, size: usize) -> ddpo_nn::Result<ImageProcessor> {
        const FILE: &str = "preprocessor_config.json";
        match files.has(FILE) {
            // HPS v2 pads what is not square, whatever the CLIP under it did.
            _ if self.conversion.is_some() => Ok(ImageProcessor::fitting(Fit::Pad(size))),
            true => ImageProcessor::from_json(&files.text(FILE, "how pictures are prepared")?),
            false => Ok(ImageProcessor::clip(size)),
        }
    }
}

impl RewardFactory for ContrastFactory {
    fn kind(&self) -> &str {
        self.kind
    }

    fn about(&self) -> &str {
        self.about
    }

    fn options(&self) -> &[OptionSpec] {
        ContrastOptions::SPECS
    }

    fn check(&self, options: &Table) -> Result<String> {
        self.options(options).map(|_| self.kind.to_owned())
    }

    fn repositories(&self, options: &Table) -> Result<Vec<Repository>> {
        let options = self.options(options)?;
        if self.conversion(&options).is_some() {
            return Ok(Vec::new());
        }
        let has_vocabulary = self.conversion.is_none() || Path::new(&options.model).join("vocab.json").is_file();
        let vocabulary = if has_vocabulary { None } else { self.vocabulary().repository() };
        Ok(self.source(&options).repository().into_iter().chain(vocabulary).collect())
    }

    fn anchor(&self, options: &mut Table, directory: &Path) {
        anchor(options, "model", directory);
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        let options = self.options(options)?;
        if let Some(command) = self.conversion(&options) {
            let (kind, model) = (self.kind.to_owned(), options.model.clone());
            return Err(ModelFailure::Pickle { kind, model, command: command.to_owned(), option: "model" }.into());
        }
        self.source(&options).check()
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        self.check_files(options)?;
        let options = self.options(options)?;
        let source = self.source(&options);
        let open = || {
            let files = source.files(context)?;
            let tokenizer = self.tokenizer(&files, context)?;
            let scorer = self.config(&files).and_then(|config| {
                let processor = self.processor(&files, config.vision.image_size)?;
                ClipScorer::new(&config, &weights(&files)?, processor, tokenizer, options.dtype.placement())
            });
            scorer.map_err(|error| source.failed(error))
        };
        let scorer = context.networks.shared(source.network(options.dtype), open)?;
        Ok(Judge::Image(Box::new(ClipReward { kind: self.kind, scale: self.scale, scorer })))
    }
}

/// How near pictures are to their prompts.
pub struct ClipReward {
    kind: &'static str,
    scale: Scale,
    scorer: Arc<ClipScorer>,
}

impl Reward for ClipReward {
    fn name(&self) -> &str {
        self.kind
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        if batch.images.is_empty() {
            return Ok(Vec::new());
        }
        let cosines = self.scorer.similarities(batch).map_err(|error| ddpo_core::Error::reward(self.kind, error))?;
        let scaled = |cosine: f32| match self.scale {
            Scale::Percent => (100.0 * cosine).max(0.0),
            Scale::Logit => (f64::from(cosine) * self.scorer.scale()) as f32,
            Scale::Cosine => cosine,
        };
        Ok(cosines.into_iter().map(scaled).collect())
    }
}
