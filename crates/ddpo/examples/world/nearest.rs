//! Samples beside the compositions that are nearest to them: whether a model composes or recites.

use std::error::Error;
use std::path::Path;

use ddpo::core::RgbImage;
use ddpo::images::{grid, write_png};

/// Compositions that are looked through.
const COUNT: usize = 20_000;

/// Samples in a row of the sheet.
const COLUMNS: usize = 16;

/// Draws rows of samples, each above a row of the compositions nearest to them; prints the distances, and those between compositions.
pub fn draw(model: &str, data: &Path, out: &Path) -> Result<(), Box<dyn Error>> {
    let world = super::model::World::open(model, &[])?;
    let compositor = super::sheet::animals_alone(data)?;
    let subjects = &compositor.drawings.subjects;
    let prompts: Vec<String> = subjects.iter().take(2 * COLUMNS).cloned().collect();
    let mut samples = Vec::new();
    for (seed, prompt) in (0..).zip(&prompts) {
        samples.extend(world.draw_from(std::slice::from_ref(prompt), 1, seed)?);
    }
    let others = compositor.sheet(1, prompts.len() * 4);
    let others =
        others.iter().map(|drawn| Ok((drawn.subject, drawn.picture()?))).collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let mut nearest: Vec<(f64, Option<RgbImage>)> = vec![(f64::INFINITY, None); samples.len()];
    let mut between = vec![f64::INFINITY; others.len()];
    for drawn in compositor.sheet(0, COUNT) {
        let picture = drawn.picture()?;
        if let Some(found) = nearest.get_mut(drawn.subject) {
            let distance = distance(&samples[drawn.subject], &picture);
            if distance < found.0 {
                *found = (distance, Some(picture.clone()));
            }
        }
        for (least, (_, other)) in between.iter_mut().zip(&others).filter(|(_, other)| other.0 == drawn.subject) {
            *least = least.min(distance(other, &picture));
        }
    }
    let mut rows = Vec::new();
    for (samples, nearest) in samples.chunks(COLUMNS).zip(nearest.chunks(COLUMNS)) {
        rows.extend(samples.iter().cloned());
        rows.extend(nearest.iter().filter_map(|(_, picture)| picture.clone()));
    }
    let distances: Vec<f64> = nearest.iter().map(|(distance, _)| *distance).collect();
    println!(
        "{} samples, the nearest of {COUNT} compositions, root mean square of colours in [0, 1]: {:.3}, {:.3} to {:.3}; of as many other \
         compositions: {:.3}",
        samples.len(),
        super::mean(&distances),
        distances.iter().copied().fold(f64::INFINITY, f64::min),
        distances.iter().copied().fold(0.0, f64::max),
        super::mean(&between)
    );
    Ok(write_png(out, &grid(&rows, COLUMNS)?)?)
}

/// The root mean square difference of two pictures of one size, of colours in [0, 1].
fn distance(one: &RgbImage, other: &RgbImage) -> f64 {
    let squares = one.pixels().iter().zip(other.pixels()).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    (squares.sum::<f64>() / one.pixels().len() as f64).sqrt() / 255.0
}
