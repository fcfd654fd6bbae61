//! Group normalisation over channels-last images, with the function that follows it.
//!
//! Channels are the vector axis. Sums over pixels are kept per channel, in `f32` over a few dozen
//! pixels and in `f64` beyond, and joined into groups at the end; so neither the order nor the
//! precision depends on the batch or on how channels are divided among threads.

use std::ops::Range;

use super::{
    memory::{self, Shared},
    pointwise::{COST, load, silu, silu_slope, store},
};
use crate::{
    Activation,
    simd::{Level, Simd, Work},
};

/// The shape of the problem.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub pixels: usize,
    pub channels: usize,
    pub groups: usize,
    pub epsilon: f64,
    pub activation: Activation,
}

impl Shape {
    /// Channels of a group.
    fn size(&self) -> usize {
        self.channels / self.groups
    }

    fn len(&self) -> usize {
        self.batch * self.pixels * self.channels
    }

    /// Runs `task` for parts of the channels of every image: whole groups, one part if there are
    /// images enough.
    fn each(&self, task: impl Fn(usize, Range<usize>) + Sync + Send) {
        let parts = (memory::tasks() / 2).div_ceil(self.batch.max(1));
        let parts = parts.clamp(1, self.channels.div_ceil(32).max(1)).min(self.groups);
        memory::for_each(self.batch * parts, self.len() * COST, |index| {
            let channels = memory::part(self.channels, self.size(), parts, index % parts);
            task(index / parts, channels);
        });
    }

    /// The values of image `image`.
    fn image<'a>(&self, x: &'a [f32], image: usize) -> &'a [f32] {
        let size = self.pixels * self.channels;
        &x[image * size..(image + 1) * size]
    }
}

/// The result, and `[batch, 2, groups]`: the means and inverse standard deviations.
pub(crate) fn forward(level: Level, x: &[f32], gamma: &[f32], beta: &[f32], shape: Shape) -> (Vec<f32>, Vec<f32>) {
    assert_eq!(x.len(), shape.len(), "group_norm: values of x");
    let mut moments = vec![0.0; shape.batch * 2 * shape.groups];
    let shared = Shared::new(&mut moments);
    // SAFETY: the parts of all images cover every channel of every pixel.
    let y = unsafe {
        memory::filled(shape.len(), |y| {
            shape.each(|image, channels| {
                let x = shape.image(x, image);
                let (mean, inverse) = moments_of(level, x, &shape, channels.clone());
                let mut scale = vec![0.0; channels.len()];
                let mut shift = vec![0.0; channels.len()];
                for (i, c) in channels.clone().enumerate() {
                    let group = i / shape.size();
                    scale[i] = gamma[c] * inverse[group];
                    shift[i] = beta[c] - mean[group] * scale[i];
                }
                let first = channels.start / shape.size();
                let at = image * 2 * shape.groups + first;
                // Each part has its own groups.
                shared.slice(at..at + mean.len()).copy_from_slice(&mean);
                let at = at + shape.groups;
                shared.slice(at..at + mean.len()).copy_from_slice(&inverse);
                let y = y.offset(image * x.len());
                let silu = shape.activation == Activation::Silu;
                level.run(Apply { x, shape, channels, scale: &scale, shift: &shift, silu, y });
            });
        })
    };
    (y, moments)
}

/// The mean and inverse standard deviation of each group in a range of channels.
fn moments_of(level: Level, x: &[f32], shape: &Shape, channels: Range<usize>) -> (Vec<f32>, Vec<f32>) {
    let count = (shape.pixels * shape.size()).max(1) as f64;
    let zeros = vec![0.0; channels.len()];
    let first = Moment { x, shape: *shape, channels: channels.clone(), centre: &zeros, square: false };
    let sums = level.run(first);
    let mean: Vec<f32> = sums.chunks(shape.size()).map(|c| (c.iter().sum::<f64>() / count) as f32).collect();
    let centre: Vec<f32> = (0..channels.len()).map(|i| mean[i / shape.size()]).collect();
    let squares = level.run(Moment { x, shape: *shape, channels, centre: &centre, square: true });
    let inverse = squares
        .chunks(shape.size())
        .map(|c| (1.0 / (c.iter().sum::<f64>() / count + shape.epsilon).sqrt()) as f32)
        .collect();
    (mean, inverse)
}

/// Pixels summed in `f32` before the sum moves to `f64`.
const RUN: usize = 64;

/// Per channel, the sum over pixels of `x - centre` or of its square.
struct Moment<'a> {
    x: &'a [f32],
    shape: Shape,
    channels: Range<usize>,
    centre: &'a [f32],
    square: bool,
}

impl Work for Moment<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Vec<f64> {
        let mut sums = vec![0.0_f64; self.channels.len()];
        let mut at = 0;
        while at + 4 * S::LANES <= sums.len() {
            self.columns::<S, 4>(s, at, 4 * S::LANES, &mut sums);
            at += 4 * S::LANES;
        }
        while at < sums.len() {
            let count = (sums.len() - at).min(S::LANES);
            self.columns::<S, 1>(s, at, count, &mut sums);
            at += count;
        }
        sums
    }
}

impl Moment<'_> {
    /// Adds the sums of `count` channels, in `N` vectors of which only a single one may be partial.
    #[inline(always)]
    fn columns<S: Simd, const N: usize>(&self, s: S, at: usize, count: usize, sums: &mut [f64]) {
        let width = count.min(S::LANES);
        let mut centre = [s.splat(0.0); N];
        for (v, centre) in centre.iter_mut().enumerate() {
            // SAFETY: `centre` is as long as the range of channels.
            *centre = unsafe { load(s, self.centre, at + v * S::LANES, width) };
        }
        for start in (0..self.shape.pixels).step_by(RUN) {
            let mut total = [s.splat(0.0); N];
            for pixel in start..(start + RUN).min(self.shape.pixels) {
                let from = pixel * self.shape.channels + self.channels.start + at;
                for v in 0..N {
                    // SAFETY: the channels are within the pixel, and the pixel within the image.
                    let x = unsafe { load(s, self.x, from + v * S::LANES, width) };
                    let d = s.sub(x, centre[v]);
                    total[v] = if self.square { s.fma(d, d, total[v]) } else { s.add(total[v], d) };
                }
            }
            flush(s, &total, width, &mut sums[at..at + count]);
        }
    }
}

/// Adds the lanes of some vectors to `f64` sums.
#[inline(always)]
fn flush<S: Simd, const N: usize>(s: S, total: &[S::V; N], width: usize, sums: &mut [f64]) {
    let mut lanes = [0.0_f32; 16];
    for (v, &total) in total.iter().enumerate() {
        // SAFETY: no unit has more than 16 lanes.
        unsafe { s.store(lanes.as_mut_ptr(), total) };
        for i in 0..width {
            sums[v * S::LANES + i] += f64::from(lanes[i]);
        }
    }
}

/// `act(x · scale + shift)`.
struct Apply<'a> {
    x: &'a [f32],
    shape: Shape,
    channels: Range<usize>,
    scale: &'a [f32],
    shift: &'a [f32],
    silu: bool,
    y: Shared,
}

impl Work for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for pixel in 0..self.shape.pixels {
            let base = pixel * self.shape.channels + self.channels.start;
            for at in (0..self.scale.len()).step_by(S::LANES) {
                let count = (self.scale.len() - at).min(S::LANES);
                // SAFETY: the channels are within the pixel, the pixel within the image, and the
                // scales as many as the channels; no other task has these channels of this image.
                unsafe {
                    let x = load(s, self.x, base + at, count);
                    let scale = load(s, self.scale, at, count);
                    let z = s.fma(x, scale, load(s, self.shift, at, count));
                    let y = if self.silu { silu(s, z) } else { z };
                    store(s, self.y.at(base + at), y, count);
                }
            }
        }
    }
}

/// The gradients of `x`, `gamma` and `beta`, from what [`forward`] was given and its moments.
pub(crate) fn backward(
    level: Level,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    moments: &[f32],
    g: &[f32],
    shape: Shape,
) -> [Vec<f32>; 3] {
    assert_eq!(x.len(), shape.len(), "group_norm: values of x");
    assert_eq!(g.len(), shape.len(), "group_norm: values of the gradient");
    let channels = shape.channels;
    let mut sums = vec![0.0; shape.batch * 2 * channels];
    let shared = Shared::new(&mut sums);
    // SAFETY: the parts of all images cover every channel of every pixel.
    let dx = unsafe {
        memory::filled(shape.len(), |dx| {
            shape.each(|image, range| {
                let size = shape.size();
                let moments = &moments[image * 2 * shape.groups..(image + 1) * 2 * shape.groups];
                let spread =
                    |offset: usize| -> Vec<f32> { range.clone().map(|c| moments[offset + c / size]).collect() };
                let (mean, inverse) = (spread(0), spread(shape.groups));
                let (x, g) = (shape.image(x, image), shape.image(g, image));
                let work = Backward {
                    x,
                    g,
                    shape,
                    channels: range.clone(),
                    gamma: &gamma[range.clone()],
                    beta: &beta[range.clone()],
                    mean: &mean,
                    inverse: &inverse,
                    dx: dx.offset(image * x.len()),
                };
                let (to_beta, to_gamma) = level.run(work);
                let at = image * 2 * channels + range.start;
                // Each part has its own channels.
                shared.slice(at..at + range.len()).copy_from_slice(&to_gamma);
                let at = at + channels;
                shared.slice(at..at + range.len()).copy_from_slice(&to_beta);
            });
        })
    };
    let total = |offset: usize| -> Vec<f32> {
        let images = sums.chunks(2 * channels.max(1));
        let add = |c: usize| images.clone().map(|s| f64::from(s[offset + c])).sum::<f64>() as f32;
        (0..channels).map(add).collect()
    };
    [dx, total(0), total(channels)]
}

/// The backward pass over some channels of an image.
struct Backward<'a> {
    x: &'a [f32],
    g: &'a [f32],
    shape: Shape,
    channels: Range<usize>,
    gamma: &'a [f32],
    beta: &'a [f32],
    mean: &'a [f32],
    inverse: &'a [f32],
    dx: Shared,
}

impl Work for Backward<'_> {
    /// Per channel, the gradients of `beta` and of `gamma`.
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (Vec<f32>, Vec<f32>) {
        let width = self.channels.len();
        let (mut plain, mut scaled) = (vec![0.0_f64; width], vec![0.0_f64; width]);
        for at in (0..width).step_by(S::LANES) {
            self.first_pass(s, at, &mut plain, &mut scaled);
        }
        let size = self.shape.size();
        let count = (self.shape.pixels * size).max(1) as f64;
        let (mut constant, mut slope) = (vec![0.0_f32; width], vec![0.0_f32; width]);
        for group in (0..width).step_by(size) {
            let range = group..group + size;
            let dot = |sums: &[f64]| range.clone().map(|c| sums[c] * f64::from(self.gamma[c])).sum::<f64>() / count;
            constant[range.clone()].fill(dot(&plain) as f32);
            slope[range.clone()].fill(dot(&scaled) as f32);
        }
        self.second_pass(s, &constant, &slope);
        let narrow = |sums: Vec<f64>| sums.into_iter().map(|v| v as f32).collect();
        (narrow(plain), narrow(scaled))
    }
}

impl Backward<'_> {
    /// Leaves the gradient before the activation in `dx`, and adds up it and its product with the
    /// normalised input.
    #[inline(always)]
    fn first_pass<S: Simd>(&self, s: S, at: usize, plain: &mut [f64], scaled: &mut [f64]) {
        let count = (plain.len() - at).min(S::LANES);
        let pixels = self.shape.pixels;
        // SAFETY: the vectors per channel are all as long as the range of channels.
        let [mean, inverse, gamma, beta] =
            [self.mean, self.inverse, self.gamma, self.beta].map(|values| unsafe { load(s, values, at, count) });
        for start in (0..pixels).step_by(RUN) {
            let mut sum = s.splat(0.0);
            let mut product = s.splat(0.0);
            for pixel in start..(start + RUN).min(pixels) {
                let from = pixel * self.shape.channels + self.channels.start + at;
                // SAFETY: the channels are within the pixel, and the pixel within the image; no
                // other task has these channels of this image.
                unsafe {
                    let normal = s.mul(s.sub(load(s, self.x, from, count), mean), inverse);
                    let mut g = load(s, self.g, from, count);
                    if self.shape.activation == Activation::Silu {
                        g = s.mul(g, silu_slope(s, s.fma(normal, gamma, beta)));
                    }
                    sum = s.add(sum, g);
                    product = s.fma(g, normal, product);
                    store(s, self.dx.at(from), g, count);
                }
            }
            flush(s, &[sum], count, &mut plain[at..at + count]);
            flush(s, &[product], count, &mut scaled[at..at + count]);
        }
    }

    /// `dx = (γ g - constant - normalised · slope) / σ`.
    #[inline(always)]
    fn second_pass<S: Simd>(&self, s: S, constant: &[f32], slope: &[f32]) {
        for pixel in 0..self.shape.pixels {
            let base = pixel * self.shape.channels + self.channels.start;
            for at in (0..constant.len()).step_by(S::LANES) {
                let count = (constant.len() - at).min(S::LANES);
                // SAFETY: as in the first pass, which wrote every value of `dx` read here.
                unsafe {
                    let [mean, inverse, gamma, constant, slope] =
                        [self.mean, self.inverse, self.gamma, constant, slope].map(|values| load(s, values, at, count));
                    let to = self.dx.at(base + at);
                    let g = if count == S::LANES { s.load(to) } else { s.load_partial(to, count) };
                    let normal = s.mul(s.sub(load(s, self.x, base + at, count), mean), inverse);
                    let rest = s.fma(normal, slope, constant);
                    store(s, to, s.mul(s.sub(s.mul(g, gamma), rest), inverse), count);
                }
            }
        }
    }
}
