//! ImageReward (Xu et al., arXiv 2304.05977): BLIP's text encoder reads the prompt and looks at the image, and a head makes a number
//! of its first state.

use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData};
use ddpo_core::{Judge, Reward, RewardBatch};
use ddpo_nn::{
    BertConfig, BertEncoder, ClipActivation, CropRounding, Fit, ImageProcessor, ModelFiles, Placement, PlainTokenizer,
    PositionKind, Ragged, TensorFile, VisionConfig, VisionTower, Weights,
};
use toml::Table;

use super::head::Head;
use super::pictures::pixels;
use super::source::{Published, Source, anchor, weights};
use super::{ModelFailure, NetworkDtype, Repository};
use crate::options::reward_options;
use crate::{OptionSpec, Result, RewardContext, RewardFactory, read_options};

const KIND: &str = "image-reward";

reward_options! {
    /// Where the network of ImageReward is.
    ImageRewardOptions {
        /// A directory with the converted weights, or a hub id that has them.
        model: String = String::new();
        /// Branch, tag or commit of a hub id; empty for the published model's known commit, or else `main`.
        revision: String = String::new();
        /// The format of the network's products: f32, or bf16 for less time and memory and other last digits.
        dtype: NetworkDtype = NetworkDtype::F32;
    }
}

/// The published weights, which are a pickle.
static PUBLISHED: Published = Published {
    id: "zai-org/ImageReward",
    revision: "5736be03b2652728fb87788c9797b0570450ab72",
    about: "ImageReward, a BLIP ViT-L, 1.8 GB",
    licence: "Apache-2.0",
    choose: files_of,
};

/// Where BERT's word pieces are, for weights that come without them.
static VOCABULARY: Published = Published {
    id: "google-bert/bert-base-uncased",
    revision: "86b5e0934494bd15c9632b12f734a8a67f723594",
    about: "BERT's vocabulary, 0.2 MB",
    licence: "Apache-2.0",
    choose: vocabulary_of,
};

const CONVERSION: &str = "python -c \"import os, torch; from huggingface_hub import hf_hub_download as get; from safetensors.torch import save_file; \
    os.makedirs('image-reward', exist_ok=True); d = torch.load(get('zai-org/ImageReward', 'ImageReward.pt'), map_location='cpu', weights_only=True); \
    save_file({k: v.clone() for k, v in d.items()}, 'image-reward/model.safetensors')\"";

/// The mean and the standard deviation of the head's numbers, by which the original normalises them.
const MEAN: f64 = 0.167_173_628_300_524_26;
const STD: f64 = 1.033_339_496_605_407_2;

/// The longest prompt in tokens, with start and end; what is behind is cut off.
const LONGEST: usize = 35;

/// Channels of a head of the attention, in both networks.
const HEAD_WIDTH: usize = 64;

fn files_of(listing: &[String]) -> ddpo_nn::Result<Vec<String>> {
    super::source::with_weights(listing, &["vocab.txt"])
}

fn vocabulary_of(listing: &[String]) -> ddpo_nn::Result<Vec<String>> {
    Ok(listing.iter().filter(|name| *name == "vocab.txt").cloned().collect())
}

/// Makes [`ImageReward`].
pub(crate) struct ImageRewardFactory;

impl ImageRewardFactory {
    fn read(options: &Table) -> Result<ImageRewardOptions> {
        let mut options: ImageRewardOptions = read_options(KIND, options)?;
        if options.model.is_empty() {
            options.model = PUBLISHED.id.to_owned();
        }
        Ok(options)
    }

    fn source(options: &ImageRewardOptions) -> Source<'_> {
        Source { kind: KIND, model: &options.model, revision: &options.revision, published: &PUBLISHED }
    }

    fn vocabulary() -> Source<'static> {
        Source { kind: KIND, model: VOCABULARY.id, revision: "", published: &VOCABULARY }
    }

    fn tokenizer(files: &ModelFiles, context: &RewardContext) -> Result<PlainTokenizer> {
        let vocabulary = Self::vocabulary();
        let files = if files.has("vocab.txt") { files.clone() } else { vocabulary.files(context)? };
        PlainTokenizer::word_pieces(&files).map_err(|error| vocabulary.failed(error))
    }
}

impl RewardFactory for ImageRewardFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "how people would like the image for its prompt, by ImageReward"
    }

    fn options(&self) -> &[OptionSpec] {
        ImageRewardOptions::SPECS
    }

    fn check(&self, options: &Table) -> Result<String> {
        Self::read(options).map(|_| KIND.to_owned())
    }

    fn repositories(&self, options: &Table) -> Result<Vec<Repository>> {
        let options = Self::read(options)?;
        if options.model == PUBLISHED.id {
            return Ok(Vec::new());
        }
        let has_vocabulary = Path::new(&options.model).join("vocab.txt").is_file();
        let vocabulary = if has_vocabulary { None } else { Self::vocabulary().repository() };
        Ok(Self::source(&options).repository().into_iter().chain(vocabulary).collect())
    }

    fn anchor(&self, options: &mut Table, directory: &Path) {
        anchor(options, "model", directory);
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        let options = Self::read(options)?;
        if options.model == PUBLISHED.id {
            let (kind, model, command) = (KIND.to_owned(), options.model, CONVERSION.to_owned());
            return Err(ModelFailure::Pickle { kind, model, command, option: "model" }.into());
        }
        Self::source(&options).check()
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        self.check_files(options)?;
        let options = Self::read(options)?;
        let source = Self::source(&options);
        let open = || {
            let files = source.files(context)?;
            let tokenizer = Self::tokenizer(&files, context)?;
            let reward =
                weights(&files).and_then(|file| ImageReward::load(&file, tokenizer, options.dtype.placement()));
            reward.map_err(|error| source.failed(error))
        };
        Ok(Judge::Image(Box::new(context.networks.shared(source.network(options.dtype), open)?)))
    }
}

/// How people would like pictures for their prompts; about normally distributed over what people have compared.
pub struct ImageReward {
    vision: VisionTower,
    vision_weights: Weights,
    text: BertEncoder,
    text_weights: Weights,
    head: Head,
    tokenizer: PlainTokenizer,
    processor: ImageProcessor,
    device: Device,
}

impl ImageReward {
    /// Reads a file with the names of the original. Its sizes are those of its tensors, with heads of 64 channels.
    ///
    /// # Errors
    ///
    /// If a tensor is missing, damaged or of another shape.
    pub fn load(
        file: &TensorFile,
        tokenizer: PlainTokenizer,
        placement: impl Into<Placement>,
    ) -> ddpo_nn::Result<Self> {
        let placement = placement.into();
        const VISION: &str = "blip.visual_encoder.";
        let vision = VisionTower::new(vision_config(file, VISION)?)?;
        let text = BertEncoder::new(text_config(file, "blip.text_encoder.")?)?;
        let size = vision.config().image_size;
        let fit = Fit::Crop { shortest_edge: size, crop: size, rounding: CropRounding::HalfEven };
        Ok(Self {
            vision_weights: vision.load_timm(file, VISION, placement.clone())?,
            text_weights: text.load(file, placement.clone())?,
            head: Head::load(file, "mlp.", text.config().hidden_size, placement.device())?,
            vision,
            text,
            tokenizer,
            processor: ImageProcessor::fitting(fit),
            device: placement.device().clone(),
        })
    }

    fn values(&self, batch: &RewardBatch<'_>) -> ddpo_nn::Result<Vec<f32>> {
        let pixels = pixels(&self.processor, batch.images, &self.device)?;
        let output = self.vision.forward(&self.vision_weights, pixels)?;
        let seen = self.vision.normalised(&self.vision_weights, output);
        let [count, patches, width] = seen.dims();
        let context = Ragged { states: seen.reshape([count * patches, width]), lengths: vec![patches; count] };
        let encode = |prompt: &String| self.tokenizer.encode(prompt, LONGEST);
        let ids: Vec<Vec<u32>> = batch.prompts.iter().map(encode).collect::<ddpo_nn::Result<_>>()?;
        let read = self.text.forward(&self.text_weights, &ids, Some(&context))?;
        let values = self.head.score(first_states(&read))?;
        Ok(values.into_iter().map(|value| ((f64::from(value) - MEAN) / STD) as f32).collect())
    }
}

/// The state of each text's first token.
fn first_states(texts: &Ragged) -> Tensor<2> {
    let starts = texts.lengths.iter().scan(0, |next, length| {
        let start = *next;
        *next += *length as i64;
        Some(start)
    });
    let starts: Vec<i64> = starts.collect();
    let shape = [starts.len()];
    let rows = Tensor::<1, Int>::from_data(TensorData::new(starts, shape), &texts.states.device());
    texts.states.clone().select(0, rows)
}

/// How many layers a file has, whose names begin with `prefix`.
fn layers(file: &TensorFile, prefix: &str) -> usize {
    let numbers =
        file.names().into_iter().filter_map(|name| name.strip_prefix(prefix)?.split_once('.')?.0.parse().ok());
    numbers.max().map_or(0, |last: usize| last + 1)
}

/// A size of a tensor.
fn size(file: &TensorFile, name: &str, axis: usize) -> ddpo_nn::Result<usize> {
    Ok(file.shape(name)?.get(axis).copied().unwrap_or(0))
}

fn vision_config(file: &TensorFile, prefix: &str) -> ddpo_nn::Result<VisionConfig> {
    let size = |name: &str, axis| size(file, &format!("{prefix}{name}"), axis);
    let (hidden_size, patch_size) = (size("patch_embed.proj.weight", 0)?, size("patch_embed.proj.weight", 2)?);
    let patches = size("pos_embed", 1)?.saturating_sub(1);
    Ok(VisionConfig {
        hidden_size,
        intermediate_size: size("blocks.0.mlp.fc1.weight", 0)?,
        num_hidden_layers: layers(file, &format!("{prefix}blocks.")),
        num_attention_heads: hidden_size / HEAD_WIDTH,
        image_size: patches.isqrt() * patch_size,
        patch_size,
        hidden_act: ClipActivation::Gelu,
        layer_norm_eps: 1e-6,
        pre_norm: false,
        patch_bias: true,
    })
}

fn text_config(file: &TensorFile, prefix: &str) -> ddpo_nn::Result<BertConfig> {
    let size = |name: &str, axis| size(file, &format!("{prefix}{name}"), axis);
    let hidden_size = size("embeddings.word_embeddings.weight", 1)?;
    Ok(BertConfig {
        vocab_size: size("embeddings.word_embeddings.weight", 0)?,
        hidden_size,
        intermediate_size: size("encoder.layer.0.intermediate.dense.weight", 0)?,
        num_hidden_layers: layers(file, &format!("{prefix}encoder.layer.")),
        num_attention_heads: hidden_size / HEAD_WIDTH,
        max_position_embeddings: size("embeddings.position_embeddings.weight", 0)?,
        type_vocab_size: 0,
        layer_norm_eps: 1e-12,
        positions: PositionKind::Absolute { first: 0 },
        cross_width: Some(size("encoder.layer.0.crossattention.self.key.weight", 1)?),
    })
}

impl Reward for ImageReward {
    fn name(&self) -> &str {
        KIND
    }

    fn score(&self, batch: &RewardBatch<'_>) -> ddpo_core::Result<Vec<f32>> {
        if batch.images.is_empty() {
            return Ok(Vec::new());
        }
        self.values(batch).map_err(|error| ddpo_core::Error::reward(KIND, error))
    }
}
