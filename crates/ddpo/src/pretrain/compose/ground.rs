//! Grounds: what is behind the drawings.

use std::f32::consts::{FRAC_1_SQRT_2, PI, TAU};

use crate::pretrain::draws::Draws;

/// The kinds of grounds, each with colours and measures of its own at every draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it; `phrase` says it in a caption's words")]
pub enum Ground {
    White,
    Plain,
    Gradient,
    Waves,
    Meadow,
    Night,
    Dots,
    Stripes,
    Checks,
}

impl Ground {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::White,
        Self::Plain,
        Self::Gradient,
        Self::Waves,
        Self::Meadow,
        Self::Night,
        Self::Dots,
        Self::Stripes,
        Self::Checks,
    ];

    /// The kinds that cost most: a model learns them last, and guidance away from what it draws without a prompt draws fewer than it has learnt.
    const PATTERNS: [Self; 4] = [Self::Waves, Self::Dots, Self::Stripes, Self::Checks];

    /// A kind; patterns come twice as often as others.
    pub(super) fn draw(draws: &mut Draws) -> Self {
        let kinds = Self::ALL.len();
        let number = draws.below(kinds + Self::PATTERNS.len());
        if number < kinds { Self::ALL[number] } else { Self::PATTERNS[number - kinds] }
    }

    /// Its place in [`Ground::ALL`].
    pub(in crate::pretrain) fn number(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or(0)
    }

    /// One word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Plain => "plain",
            Self::Gradient => "gradient",
            Self::Waves => "waves",
            Self::Meadow => "meadow",
            Self::Night => "night",
            Self::Dots => "dots",
            Self::Stripes => "stripes",
            Self::Checks => "checks",
        }
    }

    /// What a caption says of it.
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::White => "on white",
            Self::Plain => "on a plain ground",
            Self::Gradient => "on a gradient",
            Self::Waves => "on waves",
            Self::Meadow => "in a meadow",
            Self::Night => "at night",
            Self::Dots => "on dots",
            Self::Stripes => "on stripes",
            Self::Checks => "on checks",
        }
    }

    /// A square of `size` pixels with colours in [0, 1], row-major. On a lattice of more than one pixel, what repeats does so in it: an
    /// autoencoder that looks at cells of this size then sees a few of them, whatever the colours.
    pub(super) fn paint(self, size: usize, lattice: usize, draws: &mut Draws) -> Vec<[f32; 3]> {
        let lattice = Lattice(lattice as f32);
        let at: Box<dyn Fn(f32, f32) -> [f32; 3]> = match self {
            Self::White => Box::new(|_, _| [1.0; 3]),
            Self::Plain => plain(draws),
            Self::Gradient => gradient(size, lattice, draws),
            Self::Waves => waves(size, lattice, draws),
            Self::Meadow => meadow(size, lattice, draws),
            Self::Night => night(size, lattice, draws),
            Self::Dots => dots(lattice, draws),
            Self::Stripes => stripes(lattice, draws),
            Self::Checks => checks(lattice, draws),
        };
        (0..size * size).map(|i| at((i % size) as f32 + 0.5, (i / size) as f32 + 0.5)).collect()
    }
}

type Paint = Box<dyn Fn(f32, f32) -> [f32; 3]>;

/// What measures of grounds are multiples of, in pixels; one pixel leaves them as they are.
#[derive(Clone, Copy)]
struct Lattice(f32);

impl Lattice {
    fn is_free(self) -> bool {
        self.0 <= 1.0
    }

    /// The nearest multiple of `unit`, one at least.
    fn multiple(self, value: f32, unit: f32) -> f32 {
        if self.is_free() { value } else { ((value / unit).round() * unit).max(unit) }
    }

    /// The nearest multiple of the lattice's own measure.
    fn measure(self, value: f32) -> f32 {
        self.multiple(value, self.0)
    }

    /// The nearest middle of a cell.
    fn middle(self, value: f32) -> f32 {
        if self.is_free() { value } else { ((value / self.0).floor() + 0.5) * self.0 }
    }

    /// The nearest of `turns` equal parts of a turn.
    fn angle(self, value: f32, turns: f32) -> f32 {
        if self.is_free() { value } else { (value * turns / TAU).round() * TAU / turns }
    }

    /// Coordinates in a frame that is turned and shifted at random, and the measure near `period` by which a pattern repeats there.
    fn frame(self, period: f32, draws: &mut Draws) -> (f32, impl Fn(f32, f32) -> [f32; 2] + use<>) {
        let angle = self.angle(PI * unit(draws), 8.0);
        let (sin, cos) = angle.sin_cos();
        // Along a diagonal, two cells are as far as the square root of two is from one.
        let is_diagonal = sin.abs().min(cos.abs()) > 0.1;
        let period = match self.is_free() {
            true => period,
            false if is_diagonal => self.multiple(period, 2.0 * self.0) * FRAC_1_SQRT_2,
            false => self.measure(period),
        };
        let shift = [0, 1].map(|_| self.multiple(64.0 * unit(draws), 0.5 * period));
        (period, move |x, y| [cos * x + sin * y + shift[0], cos * y - sin * x + shift[1]])
    }
}

fn plain(draws: &mut Draws) -> Paint {
    let colour = any_colour(draws);
    Box::new(move |_, _| colour)
}

fn gradient(size: usize, lattice: Lattice, draws: &mut Draws) -> Paint {
    let (from, to) = (any_colour(draws), any_colour(draws));
    let (sin, cos) = lattice.angle(TAU * unit(draws), 8.0).sin_cos();
    let middle = size as f32 * 0.5;
    Box::new(move |x, y| {
        let along = ((x - middle) * cos + (y - middle) * sin) / (2.0 * middle) + 0.5;
        mix(from, to, along.clamp(0.0, 1.0))
    })
}

/// Bands of two colours by turns, with sine edges.
fn waves(size: usize, lattice: Lattice, draws: &mut Draws) -> Paint {
    let (one, other) = (any_colour(draws), pattern_colour(draws));
    let bands = 4.0 + (4.0 * unit(draws)).floor();
    let (height, length) = (between(draws, 1.5, 4.0), lattice.multiple(between(draws, 16.0, 40.0), 2.0 * lattice.0));
    let (phase, step) = (lattice.angle(TAU * unit(draws), 4.0), lattice.measure(size as f32 / bands));
    Box::new(move |x, y| {
        let depth = (y + height * (TAU * x / length + phase).sin()) / step;
        let (band, within) = (depth.floor(), depth - depth.floor());
        let shade = |band: f32| if band.rem_euclid(2.0) < 1.0 { one } else { other };
        mix(shade(band - 1.0), shade(band), (within * step).min(1.0))
    })
}

/// A sky above a hill with flowers, in a half of them with a sun.
fn meadow(size: usize, lattice: Lattice, draws: &mut Draws) -> Paint {
    let side = size as f32;
    let blue = between(draws, 0.52, 0.62);
    let high = hsv([blue, between(draws, 0.3, 0.7), between(draws, 0.8, 1.0)]);
    let low = hsv([blue, between(draws, 0.05, 0.3), 1.0]);
    let grass = hsv([between(draws, 0.22, 0.38), between(draws, 0.4, 0.8), between(draws, 0.5, 0.85)]);
    let (horizon, swell) = (lattice.measure(side * between(draws, 0.5, 0.8)), between(draws, 1.0, 6.0));
    let (length, phase) = (lattice.multiple(side * between(draws, 0.6, 1.6), side), TAU * unit(draws));
    let phase = lattice.angle(phase, 4.0);
    let sun = (unit(draws) < 0.5).then(|| {
        let place = [side * unit(draws), side * between(draws, 0.05, 0.3)].map(|value| lattice.middle(value));
        (place, side * between(draws, 0.06, 0.14))
    });
    let flower = |draws: &mut Draws| {
        let place = [side * unit(draws), between(draws, horizon, side)].map(|value| lattice.middle(value));
        (place, between(draws, 1.5, 3.0))
    };
    let (petals, count) = (hsv([unit(draws), between(draws, 0.0, 0.8), 1.0]), 6 + draws.below(14));
    let flowers: Vec<([f32; 2], f32)> = (0..count).map(|_| flower(draws)).collect();
    Box::new(move |x, y| {
        let mut sky = mix(high, low, (y / horizon).clamp(0.0, 1.0));
        if let Some(([sun_x, sun_y], radius)) = sun {
            let inside = radius - ((x - sun_x).powi(2) + (y - sun_y).powi(2)).sqrt();
            sky = mix(sky, [1.0, 0.87, 0.35], edge(inside));
        }
        let hill = y - horizon - swell * (TAU * x / length + phase).sin();
        let disc = |&([mid_x, mid_y], radius): &([f32; 2], f32)| edge(radius - (x - mid_x).hypot(y - mid_y));
        let covered = flowers.iter().map(disc).fold(0.0, f32::max);
        mix(sky, mix(grass, petals, covered), edge(hill))
    })
}

/// A dark sky with stars.
fn night(size: usize, lattice: Lattice, draws: &mut Draws) -> Paint {
    let side = size as f32;
    let hue = between(draws, 0.58, 0.78);
    let high = hsv([hue, between(draws, 0.5, 0.9), between(draws, 0.08, 0.25)]);
    let low = hsv([hue, between(draws, 0.4, 0.8), between(draws, 0.25, 0.5)]);
    let count = 20 + draws.below(36);
    let star = |draws: &mut Draws| {
        let [x, y] = [0, 1].map(|_| lattice.middle(side * unit(draws)));
        [x, y, between(draws, 0.5, 1.3)]
    };
    let stars: Vec<[f32; 3]> = (0..count).map(|_| star(draws)).collect();
    Box::new(move |x, y| {
        let light: f32 = stars
            .iter()
            .map(|[star_x, star_y, radius]| {
                let square = (x - star_x).powi(2) + (y - star_y).powi(2);
                if square > 16.0 { 0.0 } else { (-square / (radius * radius)).exp() }
            })
            .sum();
        mix(mix(high, low, y / side), [1.0, 0.98, 0.85], light.min(1.0))
    })
}

fn dots(lattice: Lattice, draws: &mut Draws) -> Paint {
    let (ground, dot) = (any_colour(draws), pattern_colour(draws));
    let (period, share) = (between(draws, 9.0, 18.0), between(draws, 0.2, 0.38));
    let (period, turned) = lattice.frame(period, draws);
    let radius = period * share;
    Box::new(move |x, y| {
        let [u, v] = turned(x, y).map(|value| (value / period - (value / period).round()) * period);
        mix(ground, dot, edge(radius - (u * u + v * v).sqrt()))
    })
}

fn stripes(lattice: Lattice, draws: &mut Draws) -> Paint {
    let (one, other) = (any_colour(draws), pattern_colour(draws));
    let (period, share) = (between(draws, 8.0, 20.0), between(draws, 0.3, 0.7));
    let (period, turned) = lattice.frame(period, draws);
    Box::new(move |x, y| {
        let along = turned(x, y)[0] / period;
        let from_middle = (along - along.round()).abs() * period;
        mix(one, other, edge(0.5 * share * period - from_middle))
    })
}

fn checks(lattice: Lattice, draws: &mut Draws) -> Paint {
    let (one, other) = (any_colour(draws), pattern_colour(draws));
    let period = between(draws, 12.0, 28.0);
    let period = lattice.multiple(period, 2.0 * lattice.0);
    let (period, turned) = lattice.frame(period, draws);
    Box::new(move |x, y| {
        // The product of two waves is positive on the squares of one colour; near an edge it is the distance to it, in pixels.
        // Half a cell aside: an edge between the blocks of a JPEG would cost nothing.
        let [u, v] = turned(x, y).map(|value| (TAU * (value + 0.5 * lattice.0) / period).sin() * period / TAU);
        let nearest = u.abs().min(v.abs()) * (u * v).signum();
        mix(one, other, edge(nearest))
    })
}

/// Coverage of a pixel at this signed distance from an edge, in pixels; positive is inside.
fn edge(distance: f32) -> f32 {
    (distance + 0.5).clamp(0.0, 1.0)
}

fn mix(from: [f32; 3], to: [f32; 3], share: f32) -> [f32; 3] {
    std::array::from_fn(|i| from[i] + share * (to[i] - from[i]))
}

pub(super) fn unit(draws: &mut Draws) -> f32 {
    draws.uniform() as f32
}

pub(super) fn between(draws: &mut Draws, low: f32, high: f32) -> f32 {
    low + (high - low) * unit(draws)
}

/// A colour that is light enough for drawings to stand out from it.
fn any_colour(draws: &mut Draws) -> [f32; 3] {
    hsv([unit(draws), between(draws, 0.1, 0.6), between(draws, 0.65, 1.0)])
}

/// The other colour of a pattern, which is darker: a faint pattern is nearly a plain ground.
fn pattern_colour(draws: &mut Draws) -> [f32; 3] {
    hsv([unit(draws), between(draws, 0.1, 0.9), between(draws, 0.15, 0.5)])
}

/// From hue, saturation and value in [0, 1] to red, green and blue.
fn hsv([hue, saturation, value]: [f32; 3]) -> [f32; 3] {
    [5.0, 3.0, 1.0].map(|offset: f32| {
        let k = (offset + hue * 6.0) % 6.0;
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_come_twice_as_often() {
        let mut draws = Draws::new(0, 0, 0);
        let mut counts = [0_i32; Ground::ALL.len()];
        (0..13_000).for_each(|_| counts[Ground::draw(&mut draws).number()] += 1);
        for ground in Ground::ALL {
            let wanted = if Ground::PATTERNS.contains(&ground) { 2000 } else { 1000 };
            let found = counts[ground.number()];
            assert!((found - wanted).abs() < 150, "{ground:?}: {found} of {wanted}");
        }
    }

    #[test]
    fn every_ground_is_a_square_of_colours() {
        for ground in Ground::ALL {
            for seed in 0..20 {
                for lattice in [1, 4, 8] {
                    let square = ground.paint(64, lattice, &mut Draws::new(seed, 0, 0));
                    assert_eq!(square.len(), 64 * 64);
                    let inside = square.iter().flatten().all(|value| (0.0..=1.0).contains(value));
                    assert!(inside, "{ground:?}, seed {seed}, lattice {lattice}");
                }
            }
        }
    }

    #[test]
    fn patterns_on_a_lattice_repeat_in_it() {
        for ground in [Ground::Dots, Ground::Stripes, Ground::Checks] {
            for seed in 0..50 {
                let square = ground.paint(64, 8, &mut Draws::new(seed, 0, 0));
                // Periods are 8, 16, 24 and 32 pixels along the sides.
                let repeats = |by: usize, step: usize| {
                    let differs = |i: usize| (0..3).any(|c| (square[i][c] - square[i + by * step][c]).abs() > 1e-3);
                    !(0..64 * 64).any(|i| (if step == 1 { i % 64 + by < 64 } else { i / 64 + by < 64 }) && differs(i))
                };
                for step in [1, 64] {
                    assert!([8, 16, 24, 32].iter().any(|&by| repeats(by, step)), "{ground:?}, seed {seed}");
                }
            }
        }
    }

    #[test]
    fn primary_hues_are_pure() {
        assert_eq!(hsv([0.0, 1.0, 1.0]), [1.0, 0.0, 0.0]);
        assert_eq!(hsv([1.0 / 3.0, 1.0, 1.0]).map(f32::round), [0.0, 1.0, 0.0]);
        assert_eq!(hsv([0.5, 0.0, 0.5]), [0.5; 3]);
    }
}
