//! `ddpo config`.

use anyhow::Result;
use ddpo::config::{Layers, Preset, document};

use crate::args::Config;
use crate::progress::line;

/// Prints the commented configuration.
pub fn run(args: &Config) -> Result<()> {
    let mut layers = Layers::default();
    if let Some(name) = &args.preset {
        layers.push_preset(Preset::find(name)?)?;
    }
    if let Some(model) = &args.model {
        layers.push_value(&format!("--model {model}"), "model.path", model.as_str())?;
    }
    line(document(&layers.resolve()?)?.trim_end());
    Ok(())
}
