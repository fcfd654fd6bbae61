//! Layers: descriptions that hold parameter positions, and forward passes that take the [`Weights`](crate::Weights).

mod attention;
mod clip;
mod operations;
mod resnet;
mod transformer;

pub use attention::{Attention, Context, KeysValues, SelfAttention2d};
pub use clip::{ClipActivation, ClipLayer, ClipLayerShape};
pub use operations::{Conv, GroupNorm, LayerNorm, Linear, downsample, upsample_to};
pub use resnet::{Resnet, ResnetShape};
pub use transformer::{Transformer, TransformerShape};
