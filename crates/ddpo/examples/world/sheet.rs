//! A sheet of compositions with their captions.

use std::error::Error;
use std::path::Path;

use ddpo::images::{grid, write_png};
use ddpo::pretrain::{Composition, Compositor, CompositorConfig, Drawings, PretrainConfig, Split};

/// Pictures of a sheet, and in a row of it.
const COUNT: usize = 96;
const COLUMNS: usize = 16;

/// Draws one.
pub fn draw(data: &Path, out: &Path, split: &str) -> Result<(), Box<dyn Error>> {
    let compositor = Compositor::new(Drawings::load(data, named(split)?)?, PretrainConfig::default().composition);
    let drawn = compositor.sheet(0, COUNT);
    let pictures = drawn.iter().map(Composition::picture).collect::<Result<Vec<_>, _>>()?;
    drawn.iter().for_each(|drawn| println!("{}", drawn.caption));
    Ok(write_png(out, &grid(&pictures, COLUMNS)?)?)
}

/// Writes every drawing of an animal of the split, as large as it may be, on white.
pub fn singles(data: &Path, out: &Path, split: &str) -> Result<(), Box<dyn Error>> {
    let compositor = Compositor::new(Drawings::load(data, named(split)?)?, CompositorConfig::default());
    let mut names = Vec::new();
    for (number, (noun, style, picture)) in compositor.singles()?.into_iter().enumerate() {
        let name = format!("{number:04}-{style}-{noun}.png");
        write_png(&out.join(&name), &picture)?;
        names.push((name, noun));
    }
    ddpo::metadata::extend(out, names.iter().map(|(name, noun)| (name.as_str(), noun.as_str())))?;
    println!("{} pictures", names.len());
    Ok(())
}

/// What composes pictures of training's animals as the denoiser sees them, nothing beside them.
pub fn animals_alone(data: &Path) -> Result<Compositor, Box<dyn Error>> {
    let config = CompositorConfig { beside: 0.0, thing_alone: 0.0, ..PretrainConfig::default().composition };
    Ok(Compositor::new(Drawings::load(data, Split::Train)?, config))
}

fn named(split: &str) -> Result<Split, String> {
    match split {
        "train" => Ok(Split::Train),
        "judge" => Ok(Split::Judge),
        "held-out" => Ok(Split::HeldOut),
        "unseen" => Ok(Split::Unseen),
        other => Err(format!("unknown split `{other}`")),
    }
}
