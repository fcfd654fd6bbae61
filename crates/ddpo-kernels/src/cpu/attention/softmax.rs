//! What is done to scores, some keys and queries at a time.

use super::super::pack::PANEL;
use crate::{
    Mask,
    simd::{self, Several, Simd, Work},
};

/// Keys whose sums are kept apart, so that an addition need not wait for the one before.
const APART: usize = 4;

/// A value for each query, once for each of the keys that are kept apart.
type Lanes = [f32; APART * PANEL];

/// A pass over the scores of all keys.
trait Pass {
    /// Takes the scores from value `at` on into `sum`; they are those of the lanes from `lane` on.
    ///
    /// # Safety
    ///
    /// Whole vectors at `at` must be within what the pass reads and writes, and at `lane` within [`Lanes`].
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, lane: usize, sum: S::V) -> S::V;
}

/// Runs a pass over `keys` keys of `width` queries each; gives the sums, by lane.
///
/// # Safety
///
/// The keys must be within what the pass reads and writes, and `width` be a multiple of a vector and at most [`PANEL`].
#[inline(always)]
unsafe fn over<S: Simd>(s: S, pass: &mut impl Pass, start: f32, keys: usize, width: usize) -> Lanes {
    let mut sums = [start; APART * PANEL];
    let wide = Several::<S, APART>(s);
    let whole = keys / APART * APART;
    for lane in (0..APART * width).step_by(APART * S::LANES) {
        // SAFETY: the caller vouches for the keys, of which these are whole vectors.
        unsafe {
            let mut sum = wide.splat(start);
            for key in (0..whole).step_by(APART) {
                sum = pass.step(wide, key * width + lane, lane, sum);
            }
            wide.store(sums.as_mut_ptr().add(lane), sum);
        }
    }
    for (key, lane) in (whole..keys).flat_map(|key| (0..width).step_by(S::LANES).map(move |lane| (key, lane))) {
        // SAFETY: as above.
        unsafe {
            let to = sums.as_mut_ptr().add(lane);
            s.store(to, pass.step(s, key * width + lane, lane, s.load(to)));
        }
    }
    sums
}

/// A value for each query, repeated for each of the keys that are kept apart.
fn repeat(width: usize, value: impl Fn(usize) -> f32) -> Lanes {
    let mut lanes = [0.0; APART * PANEL];
    for (lane, to) in lanes.iter_mut().enumerate().take(APART * width) {
        *to = value(lane % width);
    }
    lanes
}

/// One value for each query from those kept apart, and again for each of them.
fn join(lanes: &Lanes, width: usize, both: impl Fn(f32, f32) -> f32) -> Lanes {
    repeat(width, |query| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| lanes[i * width + query]);
        both(both(a, b), both(c, d))
    })
}

/// What a softmax has seen of the scores of some queries so far.
pub(super) struct Running {
    pub largest: [f32; PANEL],
    /// The sums of `e^(score - largest)`.
    pub sums: [f32; PANEL],
    /// What the sums before the last scores were multiplied by, since these had a larger one.
    pub shrunk: [f32; PANEL],
}

impl Running {
    /// No scores yet.
    pub(super) fn new() -> Self {
        Self { largest: [f32::NEG_INFINITY; PANEL], sums: [0.0; PANEL], shrunk: [1.0; PANEL] }
    }
}

/// Turns scores `[key][query]` into `e^(score - largest)` and adds them up, the largest being that of all scores so far; zero where a
/// query may not look.
pub(super) struct Softmax<'a> {
    pub scores: &'a mut [f32],
    pub width: usize,
    pub running: &'a mut Running,
    /// The first query's index.
    pub first: usize,
    pub keys: usize,
    pub mask: Mask,
}

impl Softmax<'_> {
    /// Sets the scores of keys after each query.
    fn hide(&mut self, value: f32) {
        if matches!(self.mask, Mask::Causal) {
            for (key, row) in self.scores.chunks_exact_mut(self.width).enumerate().take(self.keys) {
                let hidden = key.saturating_sub(self.first).min(self.width);
                row[..hidden].fill(value);
            }
        }
    }
}

impl Work for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let (width, keys) = (self.width, self.keys);
        assert!(self.scores.len() >= keys * width && width.is_multiple_of(S::LANES) && width <= PANEL);
        self.hide(f32::NEG_INFINITY);
        // SAFETY: there are `width` scores for each key.
        let largest = unsafe { over(s, &mut Largest(self.scores), f32::NEG_INFINITY, keys, width) };
        let mut largest = join(&largest, width, f32::max);
        self.grow(s, &mut largest);
        // SAFETY: as above.
        let sums = unsafe { over(s, &mut Exponential { scores: self.scores, largest }, 0.0, keys, width) };
        let sums = join(&sums, width, |a, b| a + b);
        for (query, sum) in self.running.sums[..width].iter_mut().enumerate() {
            *sum = *sum * self.running.shrunk[query] + sums[query];
        }
        self.hide(0.0);
    }
}

impl Softmax<'_> {
    /// The largest scores so far, in place of those of these keys, and how much smaller what came before is by them.
    #[inline(always)]
    fn grow<S: Simd>(&mut self, s: S, largest: &mut Lanes) {
        let Running { largest: before, shrunk, .. } = &mut *self.running;
        for lane in (0..PANEL).step_by(S::LANES) {
            // SAFETY: vectors divide a panel, and all three have at least one.
            unsafe {
                let (old, new) = (s.load(before.as_ptr().add(lane)), s.load(largest.as_ptr().add(lane)));
                let new = s.max(old, new);
                s.store(before.as_mut_ptr().add(lane), new);
                s.store(shrunk.as_mut_ptr().add(lane), simd::exp(s, s.sub(old, new)));
            }
        }
        *largest = repeat(self.width, |query| before[query]);
    }
}

/// Multiplies the rows of what was summed so far, a value for each query, by how much smaller it has become.
pub(super) struct Shrink<'a> {
    pub result: &'a mut [f32],
    pub width: usize,
    pub by: &'a [f32],
}

impl Work for Shrink<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.width.is_multiple_of(S::LANES) && self.width <= self.by.len());
        if self.by[..self.width].iter().all(|by| *by == 1.0) {
            return;
        }
        for row in self.result.chunks_exact_mut(self.width) {
            for lane in (0..self.width).step_by(S::LANES) {
                // SAFETY: vectors divide the row, for which there are values.
                unsafe {
                    let to = row.as_mut_ptr().add(lane);
                    s.store(to, s.mul(s.load(to), s.load(self.by.as_ptr().add(lane))));
                }
            }
        }
    }
}

/// The largest score.
struct Largest<'a>(&'a [f32]);

impl Pass for Largest<'_> {
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, _: usize, largest: S::V) -> S::V {
        // SAFETY: the caller vouches for the vector.
        s.max(largest, unsafe { s.load(self.0.as_ptr().add(at)) })
    }
}

/// Replaces scores by their exponentials and sums them.
struct Exponential<'a> {
    scores: &'a mut [f32],
    largest: Lanes,
}

impl Pass for Exponential<'_> {
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, lane: usize, sum: S::V) -> S::V {
        // SAFETY: the caller vouches for the vectors.
        unsafe {
            let to = self.scores.as_mut_ptr().add(at);
            let e = simd::exp(s, s.sub(s.load(to), s.load(self.largest.as_ptr().add(lane))));
            s.store(to, e);
            s.add(sum, e)
        }
    }
}

/// Normalises the weights and turns the gradients of the weights into those of the scores:
/// `p (s - Σ p s)`.
pub(super) struct Slope<'a> {
    pub weights: &'a mut [f32],
    pub slopes: &'a mut [f32],
    pub width: usize,
    pub sums: &'a [f32],
    pub keys: usize,
}

impl Work for Slope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { weights, slopes, width, keys, .. } = self;
        assert!(weights.len() >= keys * width && slopes.len() >= keys * width);
        assert!(width.is_multiple_of(S::LANES) && width <= PANEL);
        let inverse = repeat(width, |query| 1.0 / self.sums[query]);
        // SAFETY: there are `width` weights and slopes for each key.
        let dot = unsafe { over(s, &mut Normalise { weights, slopes, inverse }, 0.0, keys, width) };
        let dot = join(&dot, width, |a, b| a + b);
        // SAFETY: as above.
        unsafe { over(s, &mut Centre { weights, slopes, dot }, 0.0, keys, width) };
    }
}

/// Normalises the weights and sums `p s`.
struct Normalise<'a> {
    weights: &'a mut [f32],
    slopes: &'a [f32],
    inverse: Lanes,
}

impl Pass for Normalise<'_> {
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, lane: usize, dot: S::V) -> S::V {
        // SAFETY: the caller vouches for the vectors.
        unsafe {
            let to = self.weights.as_mut_ptr().add(at);
            let p = s.mul(s.load(to), s.load(self.inverse.as_ptr().add(lane)));
            s.store(to, p);
            s.fma(p, s.load(self.slopes.as_ptr().add(at)), dot)
        }
    }
}

/// Replaces slopes by `p (s - dot)`.
struct Centre<'a> {
    weights: &'a [f32],
    slopes: &'a mut [f32],
    dot: Lanes,
}

impl Pass for Centre<'_> {
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, lane: usize, none: S::V) -> S::V {
        // SAFETY: the caller vouches for the vectors.
        unsafe {
            let to = self.slopes.as_mut_ptr().add(at);
            let p = s.load(self.weights.as_ptr().add(at));
            s.store(to, s.mul(p, s.sub(s.load(to), s.load(self.dot.as_ptr().add(lane)))));
            none
        }
    }
}

/// Turns the scores of some keys into weights and the gradients of the weights into those of the scores, from what is known of each
/// query.
pub(super) struct KnownSlope<'a> {
    pub scores: &'a mut [f32],
    pub slopes: &'a mut [f32],
    pub width: usize,
    pub keys: usize,
    /// `ln Σ e^score` of all keys.
    pub log_sums: &'a [f32; PANEL],
    /// `Σ p s`, of all keys' weights and the gradients of these.
    pub dots: &'a [f32; PANEL],
}

impl Work for KnownSlope<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { scores, slopes, width, keys, .. } = self;
        assert!(scores.len() >= keys * width && slopes.len() >= keys * width);
        assert!(width.is_multiple_of(S::LANES) && width <= PANEL);
        let [log_sums, dots] = [self.log_sums, self.dots].map(|values| repeat(width, |query| values[query]));
        // SAFETY: there are `width` scores and slopes for each key.
        unsafe { over(s, &mut Known { scores, slopes, log_sums, dots }, 0.0, keys, width) };
    }
}

struct Known<'a> {
    scores: &'a mut [f32],
    slopes: &'a mut [f32],
    log_sums: Lanes,
    dots: Lanes,
}

impl Pass for Known<'_> {
    #[inline(always)]
    unsafe fn step<S: Simd>(&mut self, s: S, at: usize, lane: usize, none: S::V) -> S::V {
        // SAFETY: the caller vouches for the vectors.
        unsafe {
            let (score, slope) = (self.scores.as_mut_ptr().add(at), self.slopes.as_mut_ptr().add(at));
            let weight = simd::exp(s, s.sub(s.load(score), s.load(self.log_sums.as_ptr().add(lane))));
            s.store(score, weight);
            s.store(slope, s.mul(weight, s.sub(s.load(slope), s.load(self.dots.as_ptr().add(lane)))));
            none
        }
    }
}
