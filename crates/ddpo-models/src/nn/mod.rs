//! Layers: descriptions that hold parameter positions, and forward passes that take the [`Weights`](crate::Weights).

mod attention;
mod layers;
mod resnet;
mod transformer;

use attention::Attention;
pub(crate) use attention::{Context, KeysValues, SelfAttention2d};
pub(crate) use layers::{Conv, GroupNorm, LayerNorm, Linear, downsample, upsample_to};
pub(crate) use resnet::{Resnet, ResnetShape};
pub(crate) use transformer::{Transformer, TransformerShape};
