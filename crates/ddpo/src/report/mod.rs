//! The report of a run, or of several: one static page, made from run directories alone.

mod axis;
mod base64;
mod chart;
mod compare;
mod curves;
mod estimate;
mod facts;
mod grid;
mod histograms;
mod page;
mod pictures;
mod records;
mod run;
mod summary;
mod tasks;
mod verdict;
mod words;

pub use axis::Axis;
pub use estimate::Estimate;
pub(crate) use page::report_path;
pub use page::{write_comparison, write_report};
pub use records::Records;
pub use verdict::{Verdict, Warning, evaluated};
