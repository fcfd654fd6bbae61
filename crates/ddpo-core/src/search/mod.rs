//! Search at sampling time: more reward without any training, for more computation a picture.
//!
//! At every step that draws something, several candidates are drawn, each is looked ahead to the clean sample it may become, and
//! what a reward thinks of these decides which noise is taken: *Sampling Demons* (Yeh, Lee, Chen, arXiv 2410.05760).

mod demon;
mod lookahead;
mod synthesis;

pub use demon::{Demon, DemonStep, Searched, demon};
pub use lookahead::Lookahead;
pub use synthesis::{Synthesis, Temperature};
