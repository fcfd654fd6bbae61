//! A sheet of compositions with their captions.

use std::error::Error;
use std::path::Path;

use ddpo::images::{grid, write_png};
use ddpo::pretrain::{Composition, Compositor, CompositorConfig, Drawings, Split};

/// Pictures of a sheet, and in a row of it.
const COUNT: usize = 96;
const COLUMNS: usize = 16;

/// Draws one.
pub fn draw(data: &Path, out: &Path, split: &str) -> Result<(), Box<dyn Error>> {
    let split = match split {
        "train" => Split::Train,
        "held-out" => Split::HeldOut,
        "unseen" => Split::Unseen,
        other => return Err(format!("unknown split `{other}`").into()),
    };
    let compositor = Compositor::new(Drawings::load(data, split)?, CompositorConfig::default());
    let drawn = compositor.sheet(0, COUNT);
    let pictures = drawn.iter().map(Composition::picture).collect::<Result<Vec<_>, _>>()?;
    drawn.iter().for_each(|drawn| println!("{}", drawn.caption));
    Ok(write_png(out, &grid(&pictures, COLUMNS)?)?)
}
