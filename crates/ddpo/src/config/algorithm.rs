//! What a checked configuration says of the algorithm: one variant a trainer.

use ddpo_core::objective::Pairwise;

use crate::error::Result;

use super::advantage::AdvantagePlan;
use super::batches::accumulation;
use super::check::invalid;
use super::choices::{Algorithm, StepWeights, TrustRegion};
use super::distill::{self, DistillationPlan};
use super::forward::{self, ForwardProcessPlan};
use super::pairs::{self, GivenPairsPlan};
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
    /// Regression on corrected targets.
    Forward(ForwardProcessPlan),
    /// Preference between given pictures.
    Preference(GivenPairsPlan),
    /// Latent consistency distillation.
    Distillation(DistillationPlan),
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
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ObjectivePlan {
    /// DDPO-IS: importance sampling, within a trust region.
    ImportanceSampling(TrustRegion),
    /// DDPO-SF: the score function.
    ScoreFunction,
    /// Preference within pairs.
    Pairwise(Pairwise),
}

impl AlgorithmPlan {
    /// Checks what belongs to the algorithm of `config`.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        check_steps(&config.train)?;
        regression::check_ranges(&config.rwr)?;
        forward::check_ranges(&config.forward)?;
        pairs::check_ranges(&config.pairs)?;
        pairs::check_path(config)?;
        distill::check_ranges(&config.distill)?;
        let policy_gradient =
            |objective| PolicyGradientPlan::new(config, objective, advantage, samples).map(Self::PolicyGradient);
        let pairwise = |setting| policy_gradient(ObjectivePlan::Pairwise(pairs::objective(config, setting)));
        let regression = |weights| RegressionPlan::new(config, weights).map(Self::Regression);
        let forward = |setting| ForwardProcessPlan::new(config, setting, advantage, samples).map(Self::Forward);
        match config.train.algorithm {
            Algorithm::DdpoIs => policy_gradient(ObjectivePlan::ImportanceSampling(config.train.trust_region)),
            Algorithm::DdpoSf => policy_gradient(ObjectivePlan::ScoreFunction),
            Algorithm::Rwr => regression(regression::softmax(config)),
            Algorithm::RwrSparse => regression(regression::sparse(config)?),
            Algorithm::Nft => forward(forward::NFT),
            Algorithm::Ram => forward(forward::RAM),
            Algorithm::Pso => pairwise(pairs::PSO),
            Algorithm::D3po => pairwise(pairs::D3PO),
            Algorithm::DiffusionDpo => GivenPairsPlan::new(config, samples).map(Self::Preference),
            Algorithm::Lcd => DistillationPlan::new(config, samples).map(Self::Distillation),
        }
    }
}

impl Algorithm {
    /// Whether it learns from the likelihood of the steps that drew its samples, and not only from what they ended in.
    #[must_use]
    pub fn needs_likelihood(self) -> bool {
        match self {
            Self::DdpoIs | Self::DdpoSf | Self::Pso | Self::D3po => true,
            Self::Rwr | Self::RwrSparse | Self::Nft | Self::Ram | Self::DiffusionDpo | Self::Lcd => false,
        }
    }
}

impl PolicyGradientPlan {
    fn new(config: &RunConfig, objective: ObjectivePlan, advantage: AdvantagePlan, samples: usize) -> Result<Self> {
        let (train, batch) = (&config.train, config.train.batch_size);
        if let ObjectivePlan::Pairwise(_) = objective
            && !batch.is_multiple_of(2)
        {
            let expected = format_args!("an even number with `{}`, whose pairs stay together", train.algorithm);
            return Err(invalid("train.batch-size", batch, expected));
        }
        let accumulation = accumulation(train, samples, objective == ObjectivePlan::ScoreFunction)?;
        let updates_per_epoch = samples / (batch * accumulation) * train.inner_epochs;
        Ok(Self { objective, advantage, batch, accumulation, updates_per_epoch })
    }

    /// Passes forward of the base model, for each one of the policy.
    pub fn frozen_passes(&self, train: &TrainOptions) -> usize {
        usize::from(train.kl_weight > 0.0 || matches!(self.objective, ObjectivePlan::Pairwise(_)))
    }
}

/// Options of the ratio and of the steps belong to the algorithms that have such.
fn check_steps(train: &TrainOptions) -> Result<()> {
    let (algorithm, region, weights) = (train.algorithm, train.trust_region, train.step_weights);
    if region != TrustRegion::Clip && algorithm != Algorithm::DdpoIs {
        return Err(invalid(
            "train.trust-region",
            region,
            format_args!("\"clip\" with `{algorithm}`, which has no trust region"),
        ));
    }
    if weights == StepWeights::Likelihood {
        return Ok(());
    }
    if !matches!(algorithm, Algorithm::DdpoIs | Algorithm::DdpoSf) {
        let expected = format_args!("\"likelihood\" with `{algorithm}`: only `ddpo-is` and `ddpo-sf` weigh steps");
        return Err(invalid("train.step-weights", weights, expected));
    }
    match region {
        TrustRegion::NormalisedClip => {
            let expected = "\"likelihood\" with trust-region = \"normalised-clip\", which has scales of its own";
            Err(invalid("train.step-weights", weights, expected))
        }
        TrustRegion::Clip | TrustRegion::KlMask => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::Layers;

    fn plan(changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        RunPlan::new(layers.resolve().unwrap())
    }

    #[test]
    fn a_deterministic_sampler_collects_for_whoever_needs_no_likelihood() {
        for algorithm in ["rwr", "rwr-sparse", "nft", "ram"].map(|name| format!("train.algorithm={name}")) {
            plan(&[&algorithm, "sample.eta=0.0"]).unwrap();
            plan(&[&algorithm, "sample.steps=2", "sample.eta-by-step=[0.0, 0.0]"]).unwrap();
            let message = plan(&[&algorithm, "sample.eta=0.0", "eval.stop-kl=9.0"]).unwrap_err().to_string();
            assert!(message.starts_with("invalid `eval.stop-kl`: found 9, expected none"), "{message}");
        }
        for algorithm in ["ddpo-is", "ddpo-sf"].map(|name| format!("train.algorithm={name}")) {
            let message = plan(&[&algorithm, "sample.eta=0.0"]).unwrap_err().to_string();
            assert!(message.starts_with("invalid `sample.eta`: found 0, expected more than 0"), "{message}");
            let changes = [&algorithm, "sample.steps=2", "sample.eta-by-step=[0.0, 0.0]"];
            let message = plan(&changes).unwrap_err().to_string();
            assert!(message.starts_with("invalid `sample.eta-by-step`: found [0.0, 0.0]"), "{message}");
            plan(&[&algorithm, "sample.steps=2", "sample.eta-by-step=[0.0, 1.0]"]).unwrap();
        }
        assert!(plan(&["sample.eta=1.5"]).unwrap_err().to_string().contains("0 to 1"));
    }

    #[test]
    fn trust_regions_and_step_weights_go_with_ratios_and_steps() {
        for accepted in [
            &["train.algorithm=ddpo-is", "train.trust-region=kl-mask", "train.step-weights=equal"][..],
            &["train.algorithm=ddpo-is", "train.trust-region=normalised-clip"],
            &["train.algorithm=ddpo-sf", "train.step-weights=equal"],
        ] {
            plan(accepted).unwrap();
        }
        for (refused, wanted) in [
            (["train.algorithm=ddpo-sf", "train.trust-region=kl-mask"], "invalid `train.trust-region`: found kl-mask"),
            (["train.algorithm=pso", "train.trust-region=kl-mask"], "invalid `train.trust-region`: found kl-mask"),
            (["train.algorithm=d3po", "train.step-weights=equal"], "invalid `train.step-weights`: found equal"),
            (["train.algorithm=nft", "train.trust-region=kl-mask"], "invalid `train.trust-region`: found kl-mask"),
            (["train.algorithm=rwr", "train.step-weights=equal"], "invalid `train.step-weights`: found equal"),
        ] {
            let message = plan(&refused).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
        }
        for (refused, wanted) in [
            (
                ["train.trust-region=normalised-clip", "train.step-weights=equal"],
                "invalid `train.step-weights`: found equal",
            ),
            (["train.trust-region=kl-mask", "train.mask-kl=0.0"], "invalid `train.mask-kl`: found 0"),
        ] {
            let message = plan(&[&["train.algorithm=ddpo-is"], &refused[..]].concat()).unwrap_err().to_string();
            assert!(message.starts_with(wanted), "{message}");
        }
    }
}
