//! Fresh parameters from a counter-based generator keyed by the parameter's name.
//!
//! A parameter's value depends on the seed and its own name only, so adding a layer to a model changes no other.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::spec::{Init, ParamSpec};

impl ParamSpec {
    /// A fresh value from the parameter's [`Init`], by a generator keyed by its name and `seed`. Elements are independent, so
    /// their order is that of memory.
    pub fn draw(&self, seed: u64) -> Vec<f32> {
        let count = self.elements();
        match self.init {
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
            Init::Uniform(bound) => uniform(&mut generator(&self.name, seed), count, bound),
            Init::Normal(std) => normal(&mut generator(&self.name, seed), count, std),
        }
    }
}

/// The generator of one name under one seed.
fn generator(name: &str, seed: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(name.as_bytes(), 0xcbf2_9ce4_8422_2325).to_le_bytes());
    // A second hash from another basis makes a collision of two names in one model out of the question.
    key[16..24].copy_from_slice(&fnv1a(name.as_bytes(), 0x6c62_272e_07bb_0142).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// `count` normal values by Box and Muller's transform.
fn normal(rng: &mut ChaCha8Rng, count: usize, std: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // The radius takes 1 - u so that the logarithm never sees zero.
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt() * std;
        let (sin, cos) = (std::f64::consts::TAU * unit(rng)).sin_cos();
        values.extend([(radius * cos) as f32, (radius * sin) as f32]);
    }
    values.truncate(count);
    values
}

fn uniform(rng: &mut ChaCha8Rng, count: usize, bound: f64) -> Vec<f32> {
    (0..count).map(|_| ((2.0 * unit(rng) - 1.0) * bound) as f32).collect()
}

/// A uniform value in `[0, 1)` with 53 random bits.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn fnv1a(bytes: &[u8], basis: u64) -> u64 {
    bytes.iter().fold(basis, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Layout;

    fn spec(name: &str, init: Init) -> ParamSpec {
        ParamSpec { name: name.into(), shape: vec![100, 100], layout: Layout::Linear, init }
    }

    #[test]
    fn the_name_and_the_seed_choose_the_values() {
        let normal = Init::Normal(1.0);
        assert_eq!(spec("a", normal).draw(1), spec("a", normal).draw(1));
        assert_ne!(spec("a", normal).draw(1), spec("b", normal).draw(1));
        assert_ne!(spec("a", normal).draw(1), spec("a", normal).draw(2));
    }

    #[test]
    fn moments_are_those_of_the_distribution() {
        for (init, variance) in [(Init::Normal(0.5), 0.25), (Init::Uniform(0.6), 0.12)] {
            let values = spec("a", init).draw(3);
            let mean = values.iter().sum::<f32>() / 1e4;
            let second = values.iter().map(|x| x * x).sum::<f32>() / 1e4;
            assert!(mean.abs() < 0.02 && (second - variance).abs() < 0.02, "{init:?}: {mean} {second}");
        }
    }
}
