//! The random numbers of one training step.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A generator which is a function of the seed, the stage and the step alone: a resumed run draws what it would have drawn.
pub(super) struct Draws {
    rng: ChaCha8Rng,
    seed: u64,
    stream: u64,
}

impl Draws {
    /// The draws of `step` in the stage with this number.
    pub(super) fn new(seed: u64, stage: u64, step: u64) -> Self {
        Self::of_stream(seed, (stage << 48) | step)
    }

    fn of_stream(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, seed, stream }
    }

    /// The draws of one row of this step's batch, whatever has been drawn before: a batch can be made in pieces.
    pub(super) fn row(&self, row: usize) -> Self {
        // Rows differ in their keys: an odd constant spreads them over all seeds.
        let key = self.seed ^ (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Self::of_stream(key, self.stream)
    }

    /// A uniform number in [0, 1).
    pub(super) fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A uniform number in 0..`end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        ((self.uniform() * end as f64) as usize).min(end.saturating_sub(1))
    }

    /// `count` normal values, by Box and Muller's transform.
    pub(super) fn normal(&mut self, count: usize) -> Vec<f32> {
        let mut values = Vec::with_capacity(count + 1);
        while values.len() < count {
            let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
            let (sin, cos) = (std::f64::consts::TAU * self.uniform()).sin_cos();
            values.extend([(radius * cos) as f32, (radius * sin) as f32]);
        }
        values.truncate(count);
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_its_own_counter() {
        let draw = |stage, step| Draws::new(1, stage, step).normal(3);
        assert_eq!(draw(0, 7), draw(0, 7));
        assert_ne!(draw(0, 7), draw(0, 8));
        assert_ne!(draw(0, 7), draw(1, 7));
    }

    #[test]
    fn a_row_is_its_own_counter() {
        let mut draws = Draws::new(1, 0, 7);
        let (first, second) = (draws.row(0).normal(3), draws.row(1).normal(3));
        draws.uniform();
        assert_eq!(draws.row(0).normal(3), first);
        assert_ne!(first, second);
    }

    #[test]
    fn below_stays_below() {
        let mut draws = Draws::new(0, 0, 0);
        assert!((0..1000).all(|_| draws.below(3) < 3));
    }
}
