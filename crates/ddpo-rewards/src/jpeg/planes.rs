//! From RGB to the three component planes: full-resolution luma, halved chroma.

/// One component, sides padded to whole 8×8 blocks, samples centred on zero.
pub struct Plane {
    pub width: usize,
    pub height: usize,
    pub samples: Vec<i32>,
}

/// The components of an image.
pub struct Planes {
    pub luma: Plane,
    pub cb: Plane,
    pub cr: Plane,
}

impl Planes {
    /// Converts `width` × `height` RGB pixels.
    pub fn from_rgb(width: usize, height: usize, pixels: &[u8]) -> Self {
        let full = |component: fn([i32; 3]) -> i32| Full {
            width,
            height,
            samples: pixels.chunks_exact(3).map(|p| component([p[0], p[1], p[2]].map(i32::from))).collect(),
        };
        Self { luma: full(luma).padded(), cb: full(blue_difference).halved(), cr: full(red_difference).halved() }
    }
}

/// A component before padding, in 0..=255.
struct Full {
    width: usize,
    height: usize,
    samples: Vec<i32>,
}

impl Full {
    /// The sample at a place, or at the nearest place inside.
    fn at(&self, x: usize, y: usize) -> i32 {
        self.samples[y.min(self.height - 1) * self.width + x.min(self.width - 1)]
    }

    fn padded(&self) -> Plane {
        plane(self.width.div_ceil(8), self.height.div_ceil(8), |x, y| self.at(x, y))
    }

    /// Averages 2×2 samples with a rounding bias of 1, 2, 1, 2, … along a row, as libjpeg's
    /// `h2v2_downsample`; rows below the image repeat the last averaged row, not the last sample.
    fn halved(&self) -> Plane {
        let last = self.height.div_ceil(2) - 1;
        plane(self.width.div_ceil(16), self.height.div_ceil(16), |x, y| {
            let (x2, y2) = (2 * x, 2 * y.min(last));
            let sum = self.at(x2, y2) + self.at(x2 + 1, y2) + self.at(x2, y2 + 1) + self.at(x2 + 1, y2 + 1);
            (sum + 1 + (x as i32 & 1)) >> 2
        })
    }
}

fn plane(columns: usize, rows: usize, sample: impl Fn(usize, usize) -> i32) -> Plane {
    let (width, height) = (8 * columns, 8 * rows);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Plane { width, height, samples: places.map(|(x, y)| sample(x, y) - 128).collect() }
}

// libjpeg's 16-bit fixed-point conversion (jccolor.c). The chroma offset rounds just under a half
// so that the greatest value stays 255.
const HALF: i32 = 1 << 15;
const CHROMA_OFFSET: i32 = (128 << 16) + HALF - 1;

fn luma([r, g, b]: [i32; 3]) -> i32 {
    (19_595 * r + 38_470 * g + 7_471 * b + HALF) >> 16
}

fn blue_difference([r, g, b]: [i32; 3]) -> i32 {
    (-11_059 * r - 21_709 * g + 32_768 * b + CHROMA_OFFSET) >> 16
}

fn red_difference([r, g, b]: [i32; 3]) -> i32 {
    (32_768 * r - 27_439 * g - 5_329 * b + CHROMA_OFFSET) >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn primaries_keep_the_range() {
        assert_eq!(luma([255; 3]), 255);
        assert_eq!(blue_difference([0, 0, 255]), 255);
        assert_eq!(red_difference([255, 0, 0]), 255);
        assert_eq!((blue_difference([9; 3]), red_difference([9; 3])), (128, 128));
    }

    #[test]
    fn averaging_alternates_its_rounding() {
        let full = Full { width: 4, height: 2, samples: vec![128, 128, 128, 128, 129, 129, 129, 129] };
        assert_eq!(full.halved().samples[..2], [0, 1]);
    }
}
