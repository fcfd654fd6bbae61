//! `cargo xtask emoji-dataset`: the cut-outs that the embedded model's training pictures are composed from.
//!
//! The drawings are icon sets as the npm packages `@iconify-json/*` hold them, each an `icons.json` with the bodies of SVG files.
//! The folder follows the Hugging Face "imagefolder" convention, pictures beside a `metadata.jsonl`; the pictures are transparent
//! PNG files, a drawing each, and `ddpo pretrain` puts them on grounds. The same packages give the same bytes.

mod dataset;
mod drawings;
mod icons;
mod render;

pub use dataset::run;
