//! What the judge's pictures go through that the model's do not: other tones, blur and noise, so that it knows a thing by its
//! shape, and pictures of nothing, so that a blob is none.

use super::compose::{Composition, Compositor};
use super::draws::Draws;

/// Share of pictures that show a ground alone.
const EMPTY: f64 = 0.04;
/// Share of pictures that are blurred until nothing is left but blobs.
const BLOBS: f64 = 0.06;
/// Passes of the smallest blur that make blobs, at least.
const BLOB_PASSES: usize = 50;

/// A picture, and what is on it.
pub(super) struct Example {
    /// RGB, about [−1, 1], row-major.
    pub(super) pixels: Vec<f32>,
    /// The numbers of the nouns that are on it.
    pub(super) nouns: Vec<usize>,
    /// The number of the style, where something is drawn.
    pub(super) style: Option<usize>,
    /// The number of the ground, where it can be seen.
    pub(super) ground: Option<usize>,
}

impl Example {
    /// Draws one.
    pub(super) fn draw(compositor: &Compositor, draws: &mut Draws) -> Self {
        let kind = draws.uniform();
        let drawn = if kind < EMPTY { compositor.draw_empty(draws) } else { compositor.draw(draws) };
        let ground = drawn.ground.number();
        let Composition { mut pixels, subject, beside, style, .. } = drawn;
        let side = compositor.config.size;
        if kind < EMPTY + BLOBS {
            if kind >= EMPTY {
                (0..BLOB_PASSES + draws.below(BLOB_PASSES)).for_each(|_| blur(&mut pixels, side));
            }
            tone(&mut pixels, draws);
            let ground = (kind < EMPTY).then_some(ground);
            return Self { pixels, nouns: Vec::new(), style: None, ground };
        }
        tone(&mut pixels, draws);
        (0..draws.below(5)).for_each(|_| blur(&mut pixels, side));
        let spread = (0.12 * (draws.uniform() - 0.3).max(0.0)) as f32;
        let noise = draws.normal(pixels.len());
        pixels.iter_mut().zip(noise).for_each(|(value, noise)| *value += spread * noise);
        let nouns = [Some(subject), beside].into_iter().flatten().collect();
        Self { pixels, nouns, style: Some(style), ground: Some(ground) }
    }
}

/// Other colours: a tenth grey, otherwise less or more colour, and gains and shifts of each channel.
fn tone(pixels: &mut [f32], draws: &mut Draws) {
    let between = |low: f64, high: f64, draws: &mut Draws| (low + (high - low) * draws.uniform()) as f32;
    let colour = if draws.uniform() < 0.1 { 0.0 } else { between(0.4, 1.4, draws) };
    let contrast = between(0.75, 1.2, draws);
    let gains: [f32; 3] = std::array::from_fn(|_| contrast * between(0.85, 1.15, draws));
    let shifts: [f32; 3] = std::array::from_fn(|_| between(-0.15, 0.15, draws));
    for pixel in pixels.chunks_exact_mut(3) {
        let grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        for (value, (gain, shift)) in pixel.iter_mut().zip(gains.iter().zip(shifts)) {
            *value = gain * (grey + colour * (*value - grey)) + shift;
        }
    }
}

/// One pass of the binomial blur of three by three pixels.
fn blur(pixels: &mut [f32], side: usize) {
    let pass = |pixels: &mut [f32], stride: usize, line: usize| {
        for start in 0..side {
            for channel in 0..3 {
                let at = |i: usize| start * line + i * stride + channel;
                let mut before = pixels[at(0)];
                for i in 0..side {
                    let here = pixels[at(i)];
                    let after = pixels[at((i + 1).min(side - 1))];
                    pixels[at(i)] = 0.25 * before + 0.5 * here + 0.25 * after;
                    before = here;
                }
            }
        }
    };
    pass(pixels, 3, 3 * side);
    pass(pixels, 3 * side, 3);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blur_keeps_the_mean_and_spreads_a_point() {
        let mut pixels = vec![0.0; 5 * 5 * 3];
        pixels[(2 * 5 + 2) * 3] = 16.0;
        blur(&mut pixels, 5);
        assert_eq!(pixels.iter().sum::<f32>(), 16.0);
        assert_eq!((pixels[(2 * 5 + 2) * 3], pixels[(5 + 1) * 3]), (4.0, 1.0));
    }
}
