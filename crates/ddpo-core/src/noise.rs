//! Randomness as a value: the same address has the same numbers, on every machine, in every batch, in any order.

use std::f64::consts::TAU;

use burn::Tensor;
use burn::tensor::{Device, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Epoch, SampleId};

/// A source of random numbers without any state: a function of a seed, a domain and an [`Address`].
///
/// The 256-bit ChaCha key is, in little-endian words of 64 bits, `seed`, `epoch`, `sample`, `domain · 2³² + stream`; the 64-bit
/// nonce is `step`; the counter runs over the numbers drawn. Different addresses thus never share a block, and no number
/// depends on how many others are drawn. Eight rounds; the logarithm and the cosine are `libm`'s, the same on every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Noise {
    seed: u64,
    domain: Domain,
}

/// Who draws. Two domains share no numbers even if they share a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Domain {
    /// Training: samples, prompts, permutations.
    Training,
    /// Held-out evaluation.
    Evaluation,
    /// Sampling on a user's request.
    Sampling,
    /// Pretraining a model.
    Pretraining,
    /// The initial values of parameters.
    Initialisation,
    /// Classification of pictures by a model.
    Classification,
    /// Tests and examples.
    Other(u16),
}

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stream {
    /// The state a chain starts from.
    InitialState,
    /// The noise of a step.
    Transition,
    /// Which prompt a sample gets.
    Prompt,
    /// The order of a sample's timesteps in an update.
    TimestepOrder,
    /// The order of the samples in an update.
    SampleOrder,
    /// The timestep at which a clean sample is denoised, in regression.
    DenoisingTimestep,
    /// The noise that a clean sample is mixed with, in regression and classification.
    DenoisingNoise,
    /// The noise of a search's candidates at a step.
    Search,
    /// Which term of a reward decides, where one is drawn.
    RewardTerm,
    /// The picture and the timestep of a row of the anchor.
    AnchorRow,
    /// The noise that an anchor's picture is mixed with.
    AnchorNoise,
    /// Anything else.
    Other(u16),
}

/// Where a number is: what it is for, in which epoch, for which sample, at which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// What is drawn.
    pub stream: Stream,
    /// The epoch.
    pub epoch: Epoch,
    /// The sample within the epoch.
    pub sample: SampleId,
    /// The step of the chain, or any other index.
    pub step: u64,
}

/// The numbers at one address. Each method starts at the first one, so drawing twice gives the same twice.
#[derive(Clone, Debug)]
pub struct Draw {
    start: ChaCha8Rng,
}

impl Noise {
    /// The noise of a seed in a domain.
    pub const fn new(seed: u64, domain: Domain) -> Self {
        Self { seed, domain }
    }

    /// The numbers at an address.
    pub fn at(&self, address: Address) -> Draw {
        let purpose = (u64::from(self.domain.tag()) << 32) | u64::from(address.stream.tag());
        let words = [self.seed, address.epoch.0, address.sample.0, purpose];
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let mut start = ChaCha8Rng::from_seed(key);
        start.set_stream(address.step);
        Draw { start }
    }

    /// Standard normal numbers in the shape of a batch, each row drawn at the address of its own sample: a row is the same
    /// whatever batch it is in.
    ///
    /// # Shapes
    /// `[samples.len(), row..]`; the first entry of `shape` is replaced by the number of samples.
    pub fn normal_batch<const D: usize>(
        &self,
        address: Address,
        samples: &[SampleId],
        mut shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let len: usize = shape[1..].iter().product();
        shape[0] = samples.len();
        let row = |&sample: &SampleId| self.at(Address { sample, ..address }).normals(len);
        let values: Vec<f32> = samples.iter().flat_map(row).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }
}

impl Draw {
    /// `n` standard normal numbers by Box and Muller's method; the first `k` are the same for every `n ≥ k`.
    pub fn normals(&self, n: usize) -> Vec<f32> {
        let mut words = self.start.clone();
        let mut values = Vec::with_capacity(n + 1);
        while values.len() < n {
            // The first uniform excludes 0, where the logarithm has its pole.
            let radius = (-2.0 * libm::log((f64::from(words.next_u32()) + 1.0) * TWO_TO_MINUS_32)).sqrt();
            let angle = TAU * f64::from(words.next_u32()) * TWO_TO_MINUS_32;
            let (sine, cosine) = libm::sincos(angle);
            values.extend([(radius * cosine) as f32, (radius * sine) as f32]);
        }
        values.truncate(n);
        values
    }

    /// `n` uniform numbers from `[0, 1)`.
    pub fn uniforms(&self, n: usize) -> Vec<f64> {
        let mut words = self.start.clone();
        (0..n).map(|_| f64::from(words.next_u32()) * TWO_TO_MINUS_32).collect()
    }

    /// A uniform index below `len`, which is 0 for an empty range.
    pub fn index(&self, len: usize) -> usize {
        below(&mut self.start.clone(), len)
    }

    /// `n` independent uniform indices below `len`.
    pub fn indices(&self, len: usize, n: usize) -> Vec<usize> {
        let mut words = self.start.clone();
        (0..n).map(|_| below(&mut words, len)).collect()
    }

    /// A uniform permutation of `0..n` (Fisher and Yates).
    pub fn permutation(&self, n: usize) -> Vec<usize> {
        let mut words = self.start.clone();
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, below(&mut words, i + 1));
        }
        order
    }
}

const TWO_TO_MINUS_32: f64 = 1.0 / 4_294_967_296.0;

/// A uniform number below `len` by multiplication; 64 bits leave a bias below 2⁻³² for any list that fits in memory.
fn below(words: &mut ChaCha8Rng, len: usize) -> usize {
    ((u128::from(words.next_u64()) * len as u128) >> 64) as usize
}

impl Domain {
    /// The tags are part of the format of a run: they must never change.
    fn tag(self) -> u32 {
        match self {
            Self::Training => 1,
            Self::Evaluation => 2,
            Self::Sampling => 3,
            Self::Pretraining => 4,
            Self::Initialisation => 5,
            Self::Classification => 6,
            Self::Other(tag) => (1 << 16) | u32::from(tag),
        }
    }
}

impl Stream {
    /// The tags are part of the format of a run: they must never change.
    fn tag(self) -> u32 {
        match self {
            Self::InitialState => 1,
            Self::Transition => 2,
            Self::Prompt => 3,
            Self::TimestepOrder => 4,
            Self::SampleOrder => 5,
            Self::DenoisingTimestep => 6,
            Self::DenoisingNoise => 7,
            Self::Search => 8,
            Self::RewardTerm => 9,
            Self::AnchorRow => 10,
            Self::AnchorNoise => 11,
            Self::Other(tag) => (1 << 16) | u32::from(tag),
        }
    }
}
