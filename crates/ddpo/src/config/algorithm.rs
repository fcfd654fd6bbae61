//! What a checked configuration says of the algorithm: one variant a trainer.

use crate::error::Result;

use super::check::{at_least_one, invalid};
use super::choices::{AdvantageKind, Algorithm};
use super::regression::{self, RegressionPlan};
use super::run::{RunConfig, TrainOptions};

/// What the samples of an epoch are learnt from by, a variant a trainer. Whoever matches on it names them all, so that a new
/// algorithm does not compile until it is handled everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AlgorithmPlan {
    /// DDPO.
    PolicyGradient(PolicyGradientPlan),
    /// Reward-weighted regression.
    Regression(RegressionPlan),
}

/// The numbers of DDPO that follow from a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PolicyGradientPlan {
    /// What is minimised.
    pub objective: ObjectivePlan,
    /// How rewards become advantages.
    pub advantage: AdvantagePlan,
    /// Images of a training batch.
    pub batch: usize,
    /// Training batches whose gradients make one update.
    pub accumulation: usize,
    /// Optimizer steps an epoch, over all inner epochs.
    pub updates_per_epoch: usize,
}

/// What a policy gradient minimises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectivePlan {
    /// DDPO-IS: importance sampling.
    ImportanceSampling,
    /// DDPO-SF: the score function.
    ScoreFunction,
}

/// How rewards become advantages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdvantagePlan {
    /// Running statistics of each prompt.
    PerPrompt {
        /// How many of a prompt's last rewards are remembered.
        buffer_size: usize,
        /// With fewer, the batch's statistics are used.
        min_count: usize,
    },
    /// Statistics of the whole batch.
    Batch,
    /// Statistics of each group of samples of one prompt.
    Group {
        /// Samples a prompt.
        size: usize,
    },
}

impl AlgorithmPlan {
    /// Checks what belongs to the algorithm of `config`.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        regression::check_ranges(&config.rwr)?;
        let policy_gradient =
            |objective| PolicyGradientPlan::new(config, objective, advantage, samples).map(Self::PolicyGradient);
        let regression = |weights| RegressionPlan::new(config, weights).map(Self::Regression);
        match config.train.algorithm {
            Algorithm::DdpoIs => policy_gradient(ObjectivePlan::ImportanceSampling),
            Algorithm::DdpoSf => policy_gradient(ObjectivePlan::ScoreFunction),
            Algorithm::Rwr => regression(regression::softmax(config)),
            Algorithm::RwrSparse => regression(regression::sparse(config)?),
        }
    }
}

impl PolicyGradientPlan {
    fn new(config: &RunConfig, objective: ObjectivePlan, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        let (train, batch) = (&config.train, config.train.batch_size);
        let accumulation = accumulation(train, samples, objective == ObjectivePlan::ScoreFunction)?;
        let updates_per_epoch = samples / (batch * accumulation) * train.inner_epochs;
        Ok(Self { objective, advantage, batch, accumulation, updates_per_epoch })
    }
}

impl AdvantagePlan {
    /// Checks the section `advantage`, whatever the algorithm: a group's samples share a prompt in all of them.
    pub(super) fn new(config: &RunConfig, samples: usize) -> Result<Self> {
        let options = &config.advantage;
        match options.kind {
            AdvantageKind::Batch => Ok(Self::Batch),
            AdvantageKind::PerPrompt => {
                at_least_one("advantage.min-count", options.min_count)?;
                if options.buffer_size < options.min_count {
                    return Err(invalid(
                        "advantage.buffer-size",
                        options.buffer_size,
                        format_args!("at least {}, the min-count", options.min_count),
                    ));
                }
                Ok(Self::PerPrompt { buffer_size: options.buffer_size, min_count: options.min_count })
            }
            AdvantageKind::Group => {
                let size = options.group_size.unwrap_or(8);
                if size < 2 || !samples.is_multiple_of(size) {
                    return Err(invalid(
                        "advantage.group-size",
                        size,
                        format_args!("at least 2 and a divisor of {samples}, the samples of an epoch"),
                    ));
                }
                Ok(Self::Group { size })
            }
        }
    }

    /// Consecutive samples that share a prompt.
    pub fn samples_per_prompt(self) -> usize {
        match self {
            Self::Group { size } => size,
            Self::PerPrompt { .. } | Self::Batch => 1,
        }
    }
}

/// The given accumulation, or the algorithm's own; checks that updates come out even.
fn accumulation(train: &TrainOptions, samples: usize, single_update: bool) -> Result<usize> {
    if !samples.is_multiple_of(train.batch_size) {
        return Err(invalid(
            "train.batch-size",
            train.batch_size,
            format_args!(
                "a divisor of {samples}, the samples of an epoch (sample.batch-size x sample.batches-per-epoch)"
            ),
        ));
    }
    let batches = samples / train.batch_size;
    let accumulation = train.accumulation.unwrap_or(if single_update { batches } else { 1 });
    at_least_one("train.accumulation", accumulation)?;
    if single_update && (accumulation != batches || train.inner_epochs != 1) {
        let found = format!("{accumulation} with inner-epochs {}", train.inner_epochs);
        return Err(invalid(
            "train.accumulation",
            found,
            format_args!("{batches} with inner-epochs 1: `ddpo-sf` makes one update an epoch, on fresh samples"),
        ));
    }
    if !batches.is_multiple_of(accumulation) {
        return Err(invalid(
            "train.accumulation",
            accumulation,
            format_args!(
                "a divisor of {batches}, the training batches of an epoch ({samples} samples in batches of {})",
                train.batch_size
            ),
        ));
    }
    Ok(accumulation)
}
