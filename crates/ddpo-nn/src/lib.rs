//! What networks are made of: named parameters, layers, files, tokenizers, and CLIP's encoders of texts and pictures.
//!
//! A network here is a description: layers that know their sizes and the positions of their parameters. The numbers live
//! in [`Weights`], a flat named set with the files' names. Pretraining, averaging, full fine-tuning, adapters, a frozen
//! reference and checkpoints are therefore operations on that set, and one `forward` serves them all.
//!
//! A network, be it part of a pipeline or of a reward, is written in three steps: a [`ParamScope`] collects the parameters
//! while the layers are described, [`Weights`] are loaded for these [`Specs`], and `forward` is given both.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use ddpo_nn::{LayerNorm, Linear, ParamScope, Specs, Weights};
//!
//! struct Head {
//!     specs: Specs,
//!     norm: LayerNorm,
//!     output: Linear,
//! }
//!
//! impl Head {
//!     fn new(width: usize) -> Self {
//!         let mut specs = Vec::new();
//!         let mut scope = ParamScope::root(&mut specs);
//!         let norm = LayerNorm::new(&mut scope.child("norm"), width, 1e-5);
//!         let output = Linear::new(&mut scope.child("output"), width, 1);
//!         Self { specs: specs.into(), norm, output }
//!     }
//!
//!     /// `[B, width] -> [B, 1]`
//!     fn forward(&self, weights: &Weights, x: Tensor<2>) -> Tensor<2> {
//!         self.output.forward(weights, self.norm.forward(weights, x))
//!     }
//! }
//!
//! let (head, device) = (Head::new(8), Device::default());
//! assert_eq!(head.specs[2].name, "output.weight");
//! // From a file: `Weights::load(&head.specs, &open_weights(&files, "head", WeightNames::TRANSFORMERS, None)?, &device)`.
//! let weights = Weights::init(&head.specs, 0, &device);
//! assert_eq!(head.forward(&weights, Tensor::ones([3, 8], &device)).dims(), [3, 1]);
//! ```
//!
//! Images are channels-last, `[B, H, W, C]`, in `f32`; files keep the layout of diffusers and transformers.
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod bert;
mod clip;
mod error;
mod fields;
mod files;
mod json;
mod layers;
mod params;
mod pixels;
mod recogniser;
mod text;
mod tokenizer;
mod vision;

pub use bert::{BertConfig, BertEncoder, PositionKind, Ragged};
pub use clip::{ClipConfig, ClipImageEncoder, ClipTextEncoder, EncoderWeights};
pub use error::{Error, Result};
pub use fields::{Fields, divides, size};
pub use files::{
    Bytes, FileDtype, FoundWeights, ModelFiles, TensorFile, WeightNames, encode, find_weights, map, open_weights,
    refuse_lfs_pointer, shards_of, write_atomically, write_json,
};
pub use json::parse_json;
pub use layers::{
    Attention, ClipActivation, ClipLayer, ClipLayerShape, Context, Conv, GroupNorm, KeysValues, LayerNorm, Linear,
    Resnet, ResnetShape, SelfAttention2d, Transformer, TransformerShape, downsample, upsample_to,
};
pub use params::{
    Init, Layout, LowRankTerm, ParamId, ParamScope, ParamSpec, Placement, Specs, TensorPart, Weights, leaf, read_back,
    vector,
};
pub use pixels::{CropRounding, Fit, ImageProcessor, resize_bicubic};
pub use recogniser::{RecogniserConfig, RecogniserNetwork, Seen};
pub use text::{PromptPart, TextEncoder, TextEncoderConfig, TextOutput, parse_weights};
pub use tokenizer::{Encoded, PlainTokenizer, PromptPiece, Tokenizer};
pub use vision::{VisionConfig, VisionOutput, VisionTower};

/// The transformers release whose formats are written.
const TRANSFORMERS_VERSION: &str = "4.57.6";
