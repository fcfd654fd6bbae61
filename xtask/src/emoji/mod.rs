//! `cargo xtask emoji-dataset`: the captioned pictures that the embedded model is trained on.
//!
//! Pictures are Twemoji (CC-BY 4.0), names and groups are Unicode's (CLDR). The folder follows the
//! Hugging Face "imagefolder" convention: pictures beside a `metadata.jsonl`. The same crate
//! versions give the same bytes.

mod animals;
mod captions;
mod dataset;
mod render;
mod select;

pub use dataset::run;
