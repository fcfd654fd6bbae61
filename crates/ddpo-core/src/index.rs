//! Newtypes for numbers that must not mix.

/// A moment of the diffusion as the model knows it: `0.0` is almost clean, `999.0` almost pure noise for a model of 1,000
/// training timesteps. A float because flow models have fractional ones.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Timestep(pub f64);

/// A position in a scheduler's list of timesteps: 0 is the first, noisiest step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(pub usize);

/// The number of a sample within its epoch. Together with the seed and the epoch it names the sample's noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub u64);

/// The number of a prompt in the run's list of prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PromptId(pub u64);

/// The number of an epoch: one round of sampling and training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);
