//! The report of a run: one static page, made from the run directory alone.

mod axis;
mod base64;
mod chart;
mod page;
mod records;
mod verdict;

pub use axis::Axis;
pub use page::write_report;
pub use records::Records;
pub use verdict::{Verdict, Warning};
