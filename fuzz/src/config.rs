//! A configuration file: what parses and is checked has a plan and a document that reads back as itself.

use ddpo::config::{Layers, document};
use ddpo::{RunConfig, RunPlan};

fn resolve(text: &str) -> ddpo::Result<RunConfig> {
    let mut layers = Layers::default();
    layers.push_toml("fuzz", text)?;
    layers.resolve()
}

/// Tries one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut assigned = Layers::default();
    let _ = assigned.push_assignment(text).and_then(|()| assigned.resolve()).and_then(RunPlan::new);
    let Ok(config) = resolve(text) else { return };
    if let Ok(plan) = RunPlan::new(config) {
        let again = resolve(&document(&plan.config).expect("a plan's configuration can be written")).unwrap();
        assert_eq!(again, plan.config);
    }
}
