//! The LAION aesthetic predictor (Schuhmann, 2022): a head of five linear layers on CLIP ViT-L/14's embedding of the image.

use std::path::Path;

use burn::tensor::{Device, Tensor};
use ddpo_core::{Judge, Reward, RewardBatch};
use ddpo_nn::{ClipImageEncoder, EncoderWeights, ImageProcessor, ModelFiles, TensorFile};
use toml::Table;

use super::clip::check_size;
use super::head::Head;
use super::pictures::pixels;
use super::source::{Published, Source, anchor, weights, with_weights};
use super::{ModelFailure, NetworkDtype, Repository};
use crate::options::reward_options;
use crate::{OptionSpec, Result, RewardContext, RewardFactory, read_options};

const KIND: &str = "aesthetic";

reward_options! {
    /// Where the network of the aesthetic score is.
    AestheticOptions {
        /// A directory, or a hub id; empty for the published model. Any other is a CLIP ViT-L/14.
        model: String = String::new();
        /// Branch, tag or commit of a hub id; empty for the published model's known commit, or else `main`.
        revision: String = String::new();
        /// The format of the network's products: f32, or bf16 for less time and memory and other last digits.
        dtype: NetworkDtype = NetworkDtype::F32;
        /// A safetensors file of the head, for a `model` that is without one.
        head: String = String::new();
    }
}

/// The image encoder of CLIP ViT-L/14 together with the head `sac+logos+ava1-l14-linearMSE`.
static PUBLISHED: Published = Published {
    id: "shunk031/aesthetics-predictor-v2-sac-logos-ava1-l14-linearMSE",
    revision: "main",
    about: "CLIP ViT-L/14's image encoder with the LAION aesthetic head, 1.2 GB",
    licence: "Apache-2.0 (the head, by its authors' repository), MIT (CLIP)",
    choose: files_of,
};

/// How the head of the original repository is converted.
const CONVERSION: &str = "python -c \"import torch; from safetensors.torch import save_file; \
    save_file(torch.load('sac+logos+ava1-l14-linearMSE.pth', map_location='cpu', weights_only=True), 'aesthetic-head.safetensors')\"";

/// The description, the preprocessing and the weights.
fn files_of(listing: &[String]) -> ddpo_nn::Result<Vec<String>> {
    with_weights(listing, &["config.json", "preprocessor_config.json"])
}

/// Makes [`Aesthetic`].
pub(crate) struct AestheticFactory;

impl AestheticFactory {
    fn read(options: &Table) -> Result<AestheticOptions> {
        let mut options: AestheticOptions = read_options(KIND, options)?;
        if options.model.is_empty() {
            options.model = PUBLISHED.id.to_owned();
        }
        Ok(options)
    }

    fn source(options: &AestheticOptions) -> Source<'_> {
        Source { kind: KIND, model: &options.model, revision: &options.revision, published: &PUBLISHED }
    }

    /// The head's own file, or the model's where none is named.
    fn head(options: &AestheticOptions, own: &TensorFile, inputs: usize, device: &Device) -> Result<Head> {
        if options.head.is_empty() {
            return Head::load(own, "", inputs, device).map_err(|error| failed(&options.model, error));
        }
        let file = Self::head_file(&options.head)?;
        Head::load(&file, "", inputs, device).map_err(|error| failed(&options.head, error))
    }

    /// A file of the head alone.
    fn head_file(name: &str) -> Result<TensorFile> {
        let path = Path::new(name);
        if path.extension().is_none_or(|ending| ending != "safetensors") {
            let (kind, model, command) = (KIND.to_owned(), name.to_owned(), CONVERSION.to_owned());
            return Err(ModelFailure::Pickle { kind, model, command, option: "head" }.into());
        }
        let file = ddpo_nn::map(path).and_then(|bytes| TensorFile::open(name, vec![bytes]));
        file.map_err(|error| failed(name, error))
    }
}

/// An error of a model's files.
fn failed(model: &str, source: ddpo_nn::Error) -> crate::Error {
    let (kind, model) = (KIND.to_owned(), model.to_owned());
    ModelFailure::Network { kind, model, source: Box::new(source) }.into()
}

impl RewardFactory for AestheticFactory {
    fn kind(&self) -> &str {
        KIND
    }

    fn about(&self) -> &str {
        "how beautiful people would find the image, from 1 to 10, by the LAION aesthetic predictor"
    }

    fn options(&self) -> &[OptionSpec] {
        AestheticOptions::SPECS
    }

    fn check(&self, options: &Table) -> Result<String> {
        Self::read(options).map(|_| KIND.to_owned())
    }

    fn repositories(&self, options: &Table) -> Result<Vec<Repository>> {
        Ok(Self::source(&Self::read(options)?).repository().into_iter().collect())
    }

    fn check_files(&self, options: &Table) -> Result<()> {
        let options = Self::read(options)?;
        Self::source(&options).check()?;
        if options.head.is_empty() {
            return Ok(());
        }
        Self::head_file(&options.head).map(drop)
    }

    fn anchor(&self, options: &mut Table, directory: &Path) {
        anchor(options, "model", directory);
        anchor(options, "head", directory);
    }

    fn open(&self, options: &Table, context: &RewardContext) -> Result<Judge> {
        let options = Self::read(options)?;
        let source = Self::source(&options);
        let failed = |error| source.failed(error);
        let open = || {
            let (files, device) = (source.files(context)?, Device::flex());
            let file = weights(&files).map_err(failed)?;
            let encoder = ClipImageEncoder::from_files(&files).map_err(failed)?;
            Ok(Aesthetic {
                head: Self::head(&options, &file, encoder.dimensions(), &device)?,
                processor: processor(&files, &encoder).map_err(failed)?,
                weights: encoder.load(&file, options.dtype.placement()).map_err(failed)?,
                encoder,
                device,
            })
        };
        let name = format!("{} {}", source.network(options.dtype), options.head);
        Ok(Judge::Image(Box::new(context.networks.shared(name, open)?)))
    }
}

/// The preprocessing that the files describe, or else CLIP's.
fn processor(files: &ModelFiles, encoder: &ClipImageEncoder) -> ddpo_nn::Result<ImageProcessor> {
    const FILE: &str = "preprocessor_config.json";
    let size = encoder.tower().config().image_size;
    if !files.has(FILE) {
        return Ok(ImageProcessor::clip(size));
    }
    let processor = ImageProcessor::from_json(&files.text(FILE, "how pictures are prepared")?)?;
    check_size(&processor, size).map(|()| processor)
}

/// How beautiful people would find pictures, from 1 to 10. It does not look at prompts.
pub struct Aesthetic {
    encoder: ClipImageEncoder,
    weights: EncoderWeights,
    head: Head,
    processor: ImageProcessor,
    device: Device,
}

impl Aesthetic {
    fn values(&self, batch: &RewardBatch<'_>) -> ddpo_nn::Result<Vec<f32>> {
        let pixels = pixels(&self.processor, batch.images, &self.device)?;
        let features = self.encoder.encode(&self.weights, pixels)?;
        self.head.score(of_unit_length(features))
    }
}

/// Each row divided by its length.
fn of_unit_length(features: Tensor<2>) -> Tensor<2> {
    let lengths = features.clone().square().sum_dim(1).sqrt();
    features / lengths
}

impl Reward for Aesthetic {
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
