//! Whole runs, and what they leave.

use std::path::Path;

use ddpo::config::RunPlan;
use ddpo::{RunDirectory, Session};

/// Runs a plan to its end, or goes on with it.
pub fn train(plan: &RunPlan, path: &Path, resume: bool) -> ddpo::Result<()> {
    let session = if resume { Session::resume(plan.clone(), path) } else { Session::create(plan.clone(), path) };
    session.open()?.run().map(drop)
}

/// The bytes of a run's adapter.
pub fn product(run: &Path) -> Vec<u8> {
    std::fs::read(run.join(RunDirectory::LORA)).unwrap()
}
