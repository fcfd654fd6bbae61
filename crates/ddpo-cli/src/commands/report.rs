//! `ddpo report`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use ddpo::report::{write_comparison, write_report};

use crate::args::Report;
use crate::progress::line;

/// Where the page about several runs goes when no file is named.
const COMPARISON: &str = "comparison.html";

/// Writes the page and says where it is.
pub fn run(args: &Report) -> Result<()> {
    let runs: Vec<&Path> = args.runs.iter().map(PathBuf::as_path).collect();
    let path = match (&args.out, runs.as_slice()) {
        (None, [run]) => write_report(run)?,
        (out, runs) => {
            let path = out.clone().unwrap_or_else(|| COMPARISON.into());
            write_comparison(runs, &path)?;
            path
        }
    };
    line(&path.display().to_string());
    Ok(())
}
