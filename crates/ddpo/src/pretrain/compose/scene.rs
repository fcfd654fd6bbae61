//! One picture: what is drawn where, on which ground, and what its caption says.

use std::f32::consts::PI;

use ddpo_core::RgbImage;
use serde::Serialize;

use super::caption::{Form, Words};
use super::cutout::Place;
use super::drawings::Drawings;
use super::ground::{Ground, between, unit};
use crate::Result;
use crate::pretrain::draws::Draws;
use crate::prompts::is_held_out_pair;

/// How pictures are composed. Shares are of draws.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CompositorConfig {
    /// Side of a picture, in pixels.
    pub size: usize,
    /// Share of pictures with a thing beside the subject.
    pub beside: f64,
    /// Share of the rest that show a thing alone.
    pub thing_alone: f64,
    /// Share of captions that name the thing beside, where there is one.
    pub says_beside: f64,
    /// Share of captions that name the style.
    pub says_style: f64,
    /// Share of captions that name the ground.
    pub says_ground: f64,
    /// Share of pictures whose drawings get a dark outline.
    pub outlined: f64,
    /// Sides and corners of drawings are multiples of so many pixels, measures of grounds those of half as many, and drawings are
    /// upright; 1 for anywhere. With a multiple of an autoencoder's cell a drawing elsewhere is the same
    /// latents elsewhere, and a pattern is a few of them, so that a small model need not learn either once for every place.
    pub lattice: usize,
}

/// A drawn picture, and what is on it.
#[derive(Clone, Debug)]
pub struct Composition {
    /// RGB in [−1, 1], row-major `[size, size, 3]`.
    pub pixels: Vec<f32>,
    /// What a text says of it.
    pub caption: String,
    /// The number of the subject's noun.
    pub subject: usize,
    /// The number of the noun beside it.
    pub beside: Option<usize>,
    /// The number of the style, the same for both drawings.
    pub style: usize,
    /// The ground.
    pub ground: Ground,
}

/// Draws compositions of a set of drawings.
#[derive(Clone, Debug)]
pub struct Compositor {
    /// What there is to draw.
    pub drawings: Drawings,
    /// How.
    pub config: CompositorConfig,
    /// Nouns with a drawing: subjects, and things.
    subjects: Vec<usize>,
    things: Vec<usize>,
}

impl Composition {
    /// The picture, with eight bits a channel.
    ///
    /// # Errors
    /// None in practice: a composition is a square.
    pub fn picture(&self) -> Result<RgbImage> {
        let side = ((self.pixels.len() / 3) as f64).sqrt() as u32;
        let bytes = self.pixels.iter().map(|value| ((value + 1.0) * 127.5).round() as u8).collect();
        Ok(RgbImage::new(side, side, bytes)?)
    }
}

impl Default for CompositorConfig {
    fn default() -> Self {
        Self {
            size: 64,
            beside: 0.3,
            thing_alone: 0.15,
            says_beside: 0.8,
            says_style: 0.5,
            says_ground: 0.2,
            outlined: 0.0,
            lattice: 1,
        }
    }
}

impl Compositor {
    /// Composes pictures of `drawings`.
    #[must_use]
    pub fn new(drawings: Drawings, config: CompositorConfig) -> Self {
        let drawn = |noun: &usize| !drawings.styles_of(*noun).is_empty();
        let (count, all) = (drawings.subjects.len(), drawings.nouns().count());
        let subjects = (0..count).filter(drawn).collect();
        let things = (count..all).filter(drawn).collect();
        Self { drawings, config, subjects, things }
    }

    /// Every caption there can be but for the pairs', of which one form stands for all: what a vocabulary is learned from.
    #[must_use]
    pub fn captions(&self) -> Vec<String> {
        let numbers = 0..self.drawings.styles.len();
        let drawn = numbers.filter(|&style| self.drawings.has_style(style));
        let styles = drawn.map(|style| Some(self.drawings.styles[style].as_str())).chain([None]);
        let grounds: Vec<Option<Ground>> = Ground::ALL.into_iter().map(Some).chain([None]).collect();
        let ends: Vec<(Option<&str>, Option<Ground>)> =
            styles.flat_map(|style| grounds.iter().map(move |&ground| (style, ground))).collect();
        let mut captions = Vec::new();
        for subject in self.drawings.nouns() {
            for &(style, ground) in &ends {
                captions.push(Words { subject, beside: None, style, ground }.say(Form::EmojiOf));
            }
            for beside in &self.drawings.things {
                let words = Words { subject, beside: Some(beside), style: None, ground: None };
                captions.push(words.say(Form::WithArticle));
            }
        }
        captions
    }

    /// `count` pictures, the same for a seed.
    #[must_use]
    pub fn sheet(&self, seed: u64, count: usize) -> Vec<Composition> {
        let draws = Draws::new(seed, 0, 0);
        (0..count).map(|row| self.draw(&mut draws.row(row))).collect()
    }

    /// Every drawing of a subject by itself on white, upright, of nine tenths of the side: its noun, its style and the picture.
    ///
    /// # Errors
    /// None in practice: a picture is a square.
    pub fn singles(&self) -> Result<Vec<(String, String, RgbImage)>> {
        let size = self.config.size;
        let place = Place { centre: [0.5 * size as f32; 2], side: 0.9 * size as f32, angle: 0.0, mirrored: false };
        let mut all = Vec::new();
        for (noun, style) in self
            .subjects
            .iter()
            .flat_map(|&noun| self.drawings.styles_of(noun).into_iter().map(move |style| (noun, style)))
        {
            for cutout in self.drawings.of(noun, style) {
                let mut canvas = vec![[1.0; 3]; size * size];
                cutout.put(&mut canvas, size, place);
                let bytes = canvas.into_iter().flatten().map(|value| (value * 255.0).round() as u8).collect();
                let picture = RgbImage::new(size as u32, size as u32, bytes)?;
                all.push((self.noun(noun).to_owned(), self.drawings.styles[style].clone(), picture));
            }
        }
        Ok(all)
    }

    /// One picture.
    pub(in crate::pretrain) fn draw(&self, draws: &mut Draws) -> Composition {
        self.draw_on(self.config.lattice, draws)
    }

    /// One picture, whose drawings may be anywhere.
    pub(in crate::pretrain) fn draw_anywhere(&self, draws: &mut Draws) -> Composition {
        self.draw_on(1, draws)
    }

    fn draw_on(&self, lattice: usize, draws: &mut Draws) -> Composition {
        let (subject, beside, style) = self.choose(draws);
        let ground = Ground::draw(draws);
        let mut canvas = ground.paint(self.config.size, lattice / 2, draws);
        let places = match beside {
            None => vec![(subject, self.alone(draws))],
            Some(beside) => {
                let [first, second] = self.side_by_side(draws);
                vec![(subject, first), (beside, second)]
            }
        };
        let outline = (draws.uniform() < self.config.outlined).then(|| between(draws, 0.6, 1.4));
        for (noun, place) in places {
            let place = on_lattice(place, self.config.size, lattice);
            let cutouts = self.drawings.of(noun, style);
            let cutout = &cutouts[draws.below(cutouts.len())];
            if let Some(width) = outline {
                cutout.outline(&mut canvas, self.config.size, place, width);
            }
            cutout.put(&mut canvas, self.config.size, place);
        }
        let caption = self.caption(subject, beside, style, ground, draws);
        let pixels = canvas.into_iter().flatten().map(|value| value.clamp(0.0, 1.0) * 2.0 - 1.0).collect();
        Composition { pixels, caption, subject, beside, style, ground }
    }

    /// A ground with nothing on it; the numbers of nouns and style mean nothing.
    pub(in crate::pretrain) fn draw_empty(&self, draws: &mut Draws) -> Composition {
        let ground = Ground::draw(draws);
        let canvas = ground.paint(self.config.size, 1, draws);
        let pixels = canvas.into_iter().flatten().map(|value| value * 2.0 - 1.0).collect();
        Composition { pixels, caption: String::new(), subject: 0, beside: None, style: 0, ground }
    }

    /// The subject, what stands beside it, and the hand that drew both.
    fn choose(&self, draws: &mut Draws) -> (usize, Option<usize>, usize) {
        let pair = draws.uniform() < self.config.beside;
        let alone = !pair && draws.uniform() < self.config.thing_alone;
        let nouns =
            if (alone && !self.things.is_empty()) || self.subjects.is_empty() { &self.things } else { &self.subjects };
        let subject = nouns[draws.below(nouns.len())];
        let styles = self.drawings.styles_of(subject);
        let style = styles[draws.below(styles.len())];
        let fits = |thing: &usize| {
            !self.drawings.of(*thing, style).is_empty() && !is_held_out_pair(self.noun(subject), self.noun(*thing))
        };
        let things: Vec<usize> = if pair { self.things.iter().copied().filter(fits).collect() } else { Vec::new() };
        let beside = (!things.is_empty()).then(|| things[draws.below(things.len())]);
        (subject, beside, style)
    }

    fn noun(&self, number: usize) -> &str {
        self.drawings.nouns().nth(number).unwrap_or_default()
    }

    /// A place of 0.5 to 0.9 of the side, anywhere in the picture.
    fn alone(&self, draws: &mut Draws) -> Place {
        let size = self.config.size as f32;
        let side = size * between(draws, 0.5, 0.9);
        let mut centre = || 0.5 * side + (size - side) * unit(draws);
        let centre = [centre(), centre()];
        turned(centre, side, draws)
    }

    /// Places for the subject and a smaller thing beside it, left or right.
    fn side_by_side(&self, draws: &mut Draws) -> [Place; 2] {
        let size = self.config.size as f32;
        let sides = [size * between(draws, 0.5, 0.62), size * between(draws, 0.3, 0.42)];
        // Neighbours may overlap a little: most drawings do not fill their squares.
        let free = size - 0.94 * (sides[0] + sides[1]);
        let left = free * unit(draws);
        let subject_first = draws.uniform() < 0.5;
        let (first, second) = if subject_first { (0, 1) } else { (1, 0) };
        let mut x = [0.0; 2];
        x[first] = left + 0.5 * sides[first];
        x[second] = left + 0.94 * sides[first] + 0.44 * sides[second];
        [0, 1].map(|i| {
            let y = 0.5 * sides[i] + (size - sides[i]) * between(draws, 0.3, 1.0);
            turned([x[i], y], sides[i], draws)
        })
    }

    fn caption(
        &self,
        subject: usize,
        beside: Option<usize>,
        style: usize,
        ground: Ground,
        draws: &mut Draws,
    ) -> String {
        let [form, says_beside, says_style, says_ground] = std::array::from_fn(|_| draws.uniform());
        let beside = beside.filter(|_| says_beside < self.config.says_beside);
        let words = Words {
            subject: self.noun(subject),
            beside: beside.map(|thing| self.noun(thing)),
            style: (says_style < self.config.says_style).then(|| self.drawings.styles[style].as_str()),
            ground: (says_ground < self.config.says_ground).then_some(ground),
        };
        let edges = if beside.is_some() { [0.15, 0.9] } else { [0.45, 0.85] };
        words.say(match form {
            form if form < edges[0] => Form::Bare,
            form if form < edges[1] => Form::WithArticle,
            _ => Form::EmojiOf,
        })
    }
}

/// The largest angle that a drawing is turned by.
const TURN: f32 = PI / 15.0;

/// Mirrored or not, and turned a little.
fn turned(centre: [f32; 2], side: f32, draws: &mut Draws) -> Place {
    let angle = between(draws, -TURN, TURN);
    Place { centre, side, angle, mirrored: draws.uniform() < 0.5 }
}

/// The nearest upright place in a picture of `size` pixels whose corner and side are multiples of `lattice`, the side two at least: sides
/// of 0.5 to 0.9 of 64 pixels are then 32 and 48 on a lattice of 16, and a drawing has four appearances.
fn on_lattice(place: Place, size: usize, lattice: usize) -> Place {
    if lattice <= 1 {
        return place;
    }
    let (step, size) = (lattice as f32, size as f32);
    let side = ((place.side / step).round() * step).max(2.0 * step).min(size - step);
    let corner = |centre: f32| (((centre - 0.5 * place.side) / step).round() * step).min(size - side).max(0.0);
    let centre = place.centre.map(|centre| corner(centre) + 0.5 * side);
    Place { centre, side, angle: 0.0, ..place }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_on_a_lattice_are_in_the_picture_and_near_where_they_were() {
        let draws = Draws::new(3, 0, 0);
        for row in 0..500 {
            let mut draws = draws.row(row);
            let side = 64.0 * between(&mut draws, 0.3, 0.9);
            let centre = [0, 1].map(|_| 0.5 * side + (64.0 - side) * unit(&mut draws));
            let place = turned(centre, side, &mut draws);
            let found = on_lattice(place, 64, 16);
            assert!((found.side - side).abs() <= 13.0, "{place:?} {found:?}");
            assert!([32.0, 48.0].contains(&found.side), "{place:?} {found:?}");
            assert_eq!((found.angle, found.mirrored), (0.0, place.mirrored));
            for (found_centre, centre) in found.centre.iter().zip(centre) {
                let corner = found_centre - 0.5 * found.side;
                assert!(corner % 16.0 == 0.0 && corner >= 0.0 && corner + found.side <= 64.0);
                assert!((found_centre - centre).abs() <= 16.0, "{place:?} {found:?}");
            }
            assert_eq!(on_lattice(place, 64, 1).centre, place.centre);
        }
    }
}
