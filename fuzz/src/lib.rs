//! What the fuzz targets try, each on the bytes of one input. The targets themselves are in `fuzz_targets/`; the tests of `ddpo` try every
//! input of `corpus/`.

mod common;

pub mod checkpoint;
pub mod config;
pub mod embeddings;
pub mod lora;
pub mod pipeline;
pub mod prompts;
pub mod reward_reply;
pub mod single_file;
pub mod tokenizer;
pub mod weighted;
pub mod weights;

/// Tries one input.
pub type Target = fn(&[u8]);

/// Every target, by name.
pub const TARGETS: [(&str, Target); 11] = [
    ("checkpoint", checkpoint::run),
    ("config", config::run),
    ("embeddings", embeddings::run),
    ("lora", lora::run),
    ("pipeline", pipeline::run),
    ("prompts", prompts::run),
    ("reward_reply", reward_reply::run),
    ("single_file", single_file::run),
    ("tokenizer", tokenizer::run),
    ("weighted", weighted::run),
    ("weights", weights::run),
];
