//! Prompt alignment by a vision-language model (Black et al., arXiv 2305.13301, section 5.3): it says what a picture shows, and the
//! reward is how much of the prompt is in its answer, by BERTScore's recall.
//!
//! The model is behind the chat API that OpenAI began and vLLM, SGLang, llama.cpp, Ollama and others speak. What it answers is kept:
//! people read it.

mod chat;
mod factory;
mod questions;
mod reward;

pub(crate) use factory::AlignmentFactory;
pub use factory::AlignmentOptions;
