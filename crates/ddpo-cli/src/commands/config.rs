//! `ddpo config`.

use anyhow::Result;
use ddpo::config::{Layers, Preset, document};

use crate::args::Config;

/// Prints the commented configuration.
pub fn run(args: &Config) -> Result<()> {
    let mut layers = Layers::default();
    if let Some(name) = &args.preset {
        layers.push_preset(Preset::find(name)?)?;
    }
    print!("{}", document(&layers.resolve()?)?);
    Ok(())
}
