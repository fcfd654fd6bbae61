//! Encoders of the BERT family: BERT with cross-attention to a picture (BLIP), RoBERTa, DeBERTa.
//!
//! Texts of a batch need not be equally long and are never padded: their states are rows of one matrix, which linear layers see
//! at once, and attention looks at each text alone. A text's states do therefore not know its batch.

mod attention;
mod config;
mod disentangled;
mod layer;
mod load;
mod model;
mod ragged;

pub use config::{BertConfig, PositionKind};
pub use model::BertEncoder;
pub use ragged::Ragged;
