//! What a checked configuration says of the algorithm: one variant a trainer.

use crate::error::Result;

use super::advantage::AdvantagePlan;
use super::batches::accumulation;
use super::choices::Algorithm;
use super::forward::{self, ForwardProcessPlan};
use super::regression::{self, RegressionPlan};
use super::run::RunConfig;

/// What the samples of an epoch are learnt from by, a variant a trainer. Whoever matches on it names them all, so that a new
/// algorithm does not compile until it is handled everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AlgorithmPlan {
    /// DDPO.
    PolicyGradient(PolicyGradientPlan),
    /// Reward-weighted regression.
    Regression(RegressionPlan),
    /// Regression on corrected targets.
    Forward(ForwardProcessPlan),
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

impl AlgorithmPlan {
    /// Checks what belongs to the algorithm of `config`.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        regression::check_ranges(&config.rwr)?;
        forward::check_ranges(&config.forward)?;
        let policy_gradient =
            |objective| PolicyGradientPlan::new(config, objective, advantage, samples).map(Self::PolicyGradient);
        let regression = |weights| RegressionPlan::new(config, weights).map(Self::Regression);
        let forward = |setting| ForwardProcessPlan::new(config, setting, advantage, samples).map(Self::Forward);
        match config.train.algorithm {
            Algorithm::DdpoIs => policy_gradient(ObjectivePlan::ImportanceSampling),
            Algorithm::DdpoSf => policy_gradient(ObjectivePlan::ScoreFunction),
            Algorithm::Rwr => regression(regression::softmax(config)),
            Algorithm::RwrSparse => regression(regression::sparse(config)?),
            Algorithm::Nft => forward(forward::NFT),
            Algorithm::Ram => forward(forward::RAM),
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
