//! What the judge's pictures go through that the model's do not, so that it knows a thing in a hand that it has never seen: bends,
//! drawn edges, other colours, blur and noise; and pictures of nothing, so that a blob is none.

use std::f32::consts::{PI, TAU};

use super::compose::{Composition, Compositor};
use super::draws::Draws;

/// Share of pictures that show a ground alone.
const EMPTY: f64 = 0.04;
/// Share of pictures that are blurred until nothing is left but blobs.
const BLOBS: f64 = 0.06;
/// Share of pictures that are bent.
const BENT: f64 = 0.6;
/// Share of pictures whose edges are drawn in a dark line.
const LINED: f64 = 0.2;
/// Share of pictures without colours.
const GREY: f64 = 0.12;
/// Share of pictures whose hues are turned.
const TURNED: f64 = 0.3;
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
        if draws.uniform() < BENT {
            pixels = bend(&pixels, side, draws);
        }
        if draws.uniform() < LINED {
            draw_edges(&mut pixels, side, between(0.5, 2.0, draws));
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

/// The picture stretched, sheared and bent in waves, about its middle; what comes from outside repeats the rim.
fn bend(pixels: &[f32], side: usize, draws: &mut Draws) -> Vec<f32> {
    let middle = side as f32 * 0.5;
    let (zoom, stretch, shear) =
        (between(0.9, 1.2, draws), between(-0.22, 0.22, draws).exp(), between(-0.25, 0.25, draws));
    let mut wave = || {
        let (height, length) = (between(0.0, 2.5, draws), side as f32 * between(0.25, 1.0, draws));
        let phase = TAU * between(0.0, 1.0, draws);
        move |along: f32| height * (TAU * along / length + phase).sin()
    };
    let (sideways, upwards) = (wave(), wave());
    let last = side - 1;
    let mut bent = Vec::with_capacity(pixels.len());
    for row in 0..side {
        for column in 0..side {
            let (x, y) = (column as f32 + 0.5 - middle, row as f32 + 0.5 - middle);
            let u = (zoom * stretch * x + shear * y + sideways(y) + middle - 0.5).clamp(0.0, last as f32);
            let v = (zoom / stretch * y + upwards(x) + middle - 0.5).clamp(0.0, last as f32);
            let (left, top) = (u as usize, v as usize);
            let (right, below) = ((left + 1).min(last), (top + 1).min(last));
            let (u, v) = (u.fract(), v.fract());
            bent.extend((0..3).map(|channel| {
                let at = |x: usize, y: usize| pixels[(y * side + x) * 3 + channel];
                let (upper, lower) = (
                    (1.0 - u) * at(left, top) + u * at(right, top),
                    (1.0 - u) * at(left, below) + u * at(right, below),
                );
                (1.0 - v) * upper + v * lower
            }));
        }
    }
    bent
}

/// Darkens a pixel by `strength` times its difference from the pixels to the right of and below it.
fn draw_edges(pixels: &mut [f32], side: usize, strength: f32) {
    for y in 0..side {
        for x in 0..side {
            let at = |x: usize, y: usize, channel: usize| (y.min(side - 1) * side + x.min(side - 1)) * 3 + channel;
            let difference = |channel: usize| {
                let here = pixels[at(x, y, channel)];
                (here - pixels[at(x + 1, y, channel)]).abs().max((here - pixels[at(x, y + 1, channel)]).abs())
            };
            let dark = (strength * (0..3).map(difference).fold(0.0, f32::max)).min(1.0);
            for channel in 0..3 {
                let value = &mut pixels[at(x, y, channel)];
                *value += dark * (-0.95 - *value);
            }
        }
    }
}

/// Other colours: some grey, some of other hues, otherwise less or more colour, and gains and shifts of each channel.
fn tone(pixels: &mut [f32], draws: &mut Draws) {
    let colour = if draws.uniform() < GREY { 0.0 } else { between(0.4, 1.4, draws) };
    let angle = if draws.uniform() < TURNED { PI * between(-1.0, 1.0, draws) } else { 0.0 };
    let contrast = between(0.75, 1.2, draws);
    let gains: [f32; 3] = std::array::from_fn(|_| contrast * between(0.85, 1.15, draws));
    let shifts: [f32; 3] = std::array::from_fn(|_| between(-0.15, 0.15, draws));
    for pixel in pixels.chunks_exact_mut(3) {
        let [r, g, b] = turn_hue([pixel[0], pixel[1], pixel[2]], angle);
        let grey = 0.299 * r + 0.587 * g + 0.114 * b;
        for (i, value) in [r, g, b].into_iter().enumerate() {
            pixel[i] = gains[i] * (grey + colour * (value - grey)) + shifts[i];
        }
    }
}

/// Turned about the grey axis, by an angle in radians: a third of a turn passes the channels on.
fn turn_hue(colour: [f32; 3], angle: f32) -> [f32; 3] {
    let (sin, cos) = angle.sin_cos();
    let (even, odd) = ((1.0 - cos) / 3.0, sin / 3.0_f32.sqrt());
    std::array::from_fn(|i| {
        (cos + even) * colour[i] + (even - odd) * colour[(i + 1) % 3] + (even + odd) * colour[(i + 2) % 3]
    })
}

fn between(low: f32, high: f32, draws: &mut Draws) -> f32 {
    low + (high - low) * draws.uniform() as f32
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
    fn one_colour_is_neither_bent_nor_lined() {
        let mut pixels: Vec<f32> = [0.25, -0.5, 1.0].repeat(64);
        let bent = bend(&pixels, 8, &mut Draws::new(0, 0, 0));
        assert!(bent.iter().zip(&pixels).all(|(a, b)| (a - b).abs() < 1e-6));
        draw_edges(&mut pixels, 8, 2.0);
        assert_eq!(pixels, [0.25, -0.5, 1.0].repeat(64));
    }

    #[test]
    fn an_edge_becomes_dark() {
        let mut pixels: Vec<f32> = (0..64).flat_map(|i| [if i % 8 < 4 { 1.0 } else { 0.0 }; 3]).collect();
        draw_edges(&mut pixels, 8, 2.0);
        assert!((pixels[3 * 3] + 0.95).abs() < 1e-6, "{}", pixels[3 * 3]);
        assert_eq!((pixels[2 * 3], pixels[4 * 3]), (1.0, 0.0));
    }

    #[test]
    fn a_third_of_a_turn_passes_the_channels_on_and_no_turn_changes_grey() {
        let close = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(turn_hue([0.1, 0.5, -0.7], TAU / 3.0), [-0.7, 0.1, 0.5]));
        assert!(close(turn_hue([0.3; 3], 1.0), [0.3; 3]));
        assert!(close(turn_hue([0.1, 0.5, -0.7], 0.0), [0.1, 0.5, -0.7]));
    }

    #[test]
    fn a_blur_keeps_the_mean_and_spreads_a_point() {
        let mut pixels = vec![0.0; 5 * 5 * 3];
        pixels[(2 * 5 + 2) * 3] = 16.0;
        blur(&mut pixels, 5);
        assert_eq!(pixels.iter().sum::<f32>(), 16.0);
        assert_eq!((pixels[(2 * 5 + 2) * 3], pixels[(5 + 1) * 3]), (4.0, 1.0));
    }
}
