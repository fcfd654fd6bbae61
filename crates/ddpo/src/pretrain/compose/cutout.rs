//! A drawing on nothing, and how it is put on a picture.

use std::path::Path;

use crate::images::read_cutout;
use crate::{Error, Result};

/// A square drawing with premultiplied colours in [0, 1], and the same at a half, a quarter and an eighth of its side.
#[derive(Clone, Debug)]
pub(super) struct Cutout {
    levels: Vec<Level>,
}

#[derive(Clone, Debug)]
struct Level {
    side: usize,
    /// Red, green, blue and alpha, row-major.
    pixels: Vec<[f32; 4]>,
}

/// Where a drawing goes, in pixels of the picture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Its middle, from the left and from the top.
    pub(super) centre: [f32; 2],
    /// The side of its square.
    pub(super) side: f32,
    /// How far it is turned, in radians.
    pub(super) angle: f32,
    /// Whether it is mirrored.
    pub(super) mirrored: bool,
}

impl Cutout {
    /// Reads a PNG file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let (width, height, rgba) = read_cutout(path)?;
        if width != height {
            let reason = format!("`{}`: found {width}×{height} pixels, wanted a square", path.display());
            return Err(Error::Data { reason });
        }
        let premultiplied = |pixel: &[u8]| {
            let alpha = f32::from(pixel[3]) / 255.0;
            [0, 1, 2, 3].map(|i| if i == 3 { alpha } else { f32::from(pixel[i]) / 255.0 * alpha })
        };
        Ok(Self::new(Level { side: width, pixels: rgba.chunks_exact(4).map(premultiplied).collect() }))
    }

    fn new(full: Level) -> Self {
        let mut levels = vec![full];
        while levels.len() < 4 && levels[levels.len() - 1].side % 2 == 0 {
            levels.push(levels[levels.len() - 1].halved());
        }
        Self { levels }
    }

    /// Puts the drawing on `canvas`, a square of `size` pixels with colours in [0, 1]: four samples a pixel, of the level whose
    /// pixels are just finer than the picture's.
    pub(super) fn put(&self, canvas: &mut [[f32; 3]], size: usize, place: Place) {
        self.blend(canvas, size, place, |sample| sample);
    }

    /// Puts the drawing's dark shape where its outline of `width` pixels will be seen once the drawing is on it.
    pub(super) fn outline(&self, canvas: &mut [[f32; 3]], size: usize, place: Place, width: f32) {
        for [dx, dy] in [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]] {
            let centre = [place.centre[0] + dx * width, place.centre[1] + dy * width];
            let dark = |[.., alpha]: [f32; 4]| [0.05 * alpha, 0.05 * alpha, 0.05 * alpha, alpha];
            self.blend(canvas, size, Place { centre, ..place }, dark);
        }
    }

    fn blend(&self, canvas: &mut [[f32; 3]], size: usize, place: Place, of: impl Fn([f32; 4]) -> [f32; 4]) {
        let level = self.level(place.side);
        let (sin, cos) = place.angle.sin_cos();
        let reach = place.side * (sin.abs() + cos.abs()) * 0.5;
        let span = |centre: f32| {
            let first = (centre - reach).floor().max(0.0) as usize;
            first..((centre + reach).ceil().max(0.0) as usize).min(size)
        };
        let scale = level.side as f32 / place.side;
        for y in span(place.centre[1]) {
            for x in span(place.centre[0]) {
                let mut sum = [0.0; 4];
                for [dx, dy] in [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]] {
                    let (x, y) = (x as f32 + dx - place.centre[0], y as f32 + dy - place.centre[1]);
                    let (mut u, v) = (cos * x + sin * y, cos * y - sin * x);
                    if place.mirrored {
                        u = -u;
                    }
                    let middle = level.side as f32 * 0.5;
                    let sample = level.sample(u * scale + middle, v * scale + middle);
                    sum = std::array::from_fn(|i| sum[i] + 0.25 * sample[i]);
                }
                let sum = of(sum);
                let under = &mut canvas[y * size + x];
                *under = std::array::from_fn(|i| sum[i] + (1.0 - sum[3]) * under[i]);
            }
        }
    }

    /// The coarsest level with at least as many pixels a side as the drawing takes; the full one where there is none.
    fn level(&self, side: f32) -> &Level {
        let fine = |level: &&Level| level.side as f32 >= side;
        self.levels.iter().rev().find(fine).unwrap_or(&self.levels[0])
    }
}

impl Level {
    fn halved(&self) -> Self {
        let side = self.side / 2;
        let mean = |x: usize, y: usize| {
            let of = |dx: usize, dy: usize| self.pixels[(2 * y + dy) * self.side + 2 * x + dx];
            let [a, b, c, d] = [of(0, 0), of(1, 0), of(0, 1), of(1, 1)];
            std::array::from_fn(|i| 0.25 * (a[i] + b[i] + c[i] + d[i]))
        };
        let pixels = (0..side * side).map(|i| mean(i % side, i / side)).collect();
        Self { side, pixels }
    }

    /// Between the four pixels around a point, whose coordinates are in pixels; nothing outside.
    fn sample(&self, x: f32, y: f32) -> [f32; 4] {
        let (x, y) = (x - 0.5, y - 0.5);
        let (left, top) = (x.floor(), y.floor());
        let (right, bottom) = (x - left, y - top);
        let mut sum = [0.0; 4];
        let corners = [
            (0, 0, (1.0 - right) * (1.0 - bottom)),
            (1, 0, right * (1.0 - bottom)),
            (0, 1, (1.0 - right) * bottom),
            (1, 1, right * bottom),
        ];
        for (dx, dy, weight) in corners {
            let pixel = self.at(left as isize + dx, top as isize + dy);
            sum = std::array::from_fn(|i| sum[i] + weight * pixel[i]);
        }
        sum
    }

    fn at(&self, x: isize, y: isize) -> [f32; 4] {
        let inside = 0..self.side as isize;
        if inside.contains(&x) && inside.contains(&y) {
            return self.pixels[y as usize * self.side + x as usize];
        }
        [0.0; 4]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_red() -> Cutout {
        let pixel = |i: usize| if i % 8 < 4 { [1.0, 0.0, 0.0, 1.0] } else { [0.0; 4] };
        Cutout::new(Level { side: 8, pixels: (0..64).map(pixel).collect() })
    }

    fn put(place: Place) -> Vec<[f32; 3]> {
        let mut canvas = vec![[1.0; 3]; 64];
        left_red().put(&mut canvas, 8, place);
        canvas
    }

    #[test]
    fn a_drawing_of_the_pictures_size_is_itself() {
        let canvas = put(Place { centre: [4.0, 4.0], side: 8.0, angle: 0.0, mirrored: false });
        assert_eq!((canvas[8 + 1], canvas[8 + 6]), ([1.0, 0.0, 0.0], [1.0; 3]));
    }

    #[test]
    fn mirrored_and_turned_it_is_on_the_other_side() {
        let mirrored = put(Place { centre: [4.0, 4.0], side: 8.0, angle: 0.0, mirrored: true });
        assert_eq!((mirrored[8 + 1], mirrored[8 + 6]), ([1.0; 3], [1.0, 0.0, 0.0]));
        let turned = put(Place { centre: [4.0, 4.0], side: 8.0, angle: std::f32::consts::PI, mirrored: false });
        let same = turned[8 + 6].iter().zip([1.0, 0.0, 0.0]).all(|(a, b)| (a - b).abs() < 1e-5);
        assert!(same, "{:?}", turned[8 + 6]);
    }

    #[test]
    fn what_is_outside_of_the_picture_is_left_out() {
        let canvas = put(Place { centre: [-100.0, 4.0], side: 8.0, angle: 0.3, mirrored: false });
        assert!(canvas.iter().all(|pixel| *pixel == [1.0; 3]));
    }
}
