//! What a checked configuration of reward-weighted regression says.

use crate::error::Result;

use super::check::{at_least_one, at_most, invalid, within};
use super::run::{RunConfig, RwrOptions};

/// The numbers of reward-weighted regression that follow from a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegressionPlan {
    /// How rewards become weights.
    pub weights: WeightPlan,
    /// Optimizer steps a round.
    pub updates_per_round: usize,
    /// Images of one forward and backward pass.
    pub batch: usize,
    /// Passes of an update.
    pub passes: usize,
}

/// How rewards become weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WeightPlan {
    /// The softmax of beta times the reward.
    Softmax {
        /// The inverse temperature.
        beta: f64,
        /// Within a prompt, or within the round.
        per_prompt: bool,
    },
    /// One for the best samples, and nothing for the others.
    Sparse {
        /// What a sample must reach.
        percentile: f64,
        /// Within a prompt, or within the round.
        per_prompt: bool,
        /// How many of a prompt's last rewards are remembered.
        buffer_size: usize,
        /// With fewer, the round's percentile is used.
        min_count: usize,
    },
}

impl RegressionPlan {
    /// The plan of a configuration whose algorithm is a regression with these weights.
    ///
    /// # Errors
    /// Names the first option that does not fit.
    pub(super) fn new(config: &RunConfig, weights: WeightPlan) -> Result<Self> {
        let options = &config.rwr;
        at_least_one("rwr.updates-per-round", options.updates_per_round)?;
        at_least_one("rwr.batch-size", options.batch_size)?;
        at_most("rwr.batch-size", options.batch_size, 1 << 20)?;
        at_most("rwr.updates-per-round", options.updates_per_round, 1 << 20)?;
        let batch = config.train.batch_size.min(options.batch_size);
        if !options.batch_size.is_multiple_of(batch) {
            let expected = format!("a multiple of {batch}, the train.batch-size");
            return Err(invalid("rwr.batch-size", options.batch_size, expected));
        }
        if config.train.kl_weight != 0.0 {
            let expected = "0 with a regression, which has no policy ratio to penalise";
            return Err(invalid("train.kl-weight", config.train.kl_weight, expected));
        }
        if config.train.first_timestep != 0 {
            let expected = "0 with a regression, which draws timesteps of its own";
            return Err(invalid("train.first-timestep", config.train.first_timestep, expected));
        }
        let (updates_per_round, passes) = (options.updates_per_round, options.batch_size / batch);
        Ok(Self { weights, updates_per_round, batch, passes })
    }
}

/// Checks the ranges also where nothing uses them: what is no number does not equal itself, and no configuration would equal
/// its file.
pub(super) fn check_ranges(options: &RwrOptions) -> Result<()> {
    within("rwr.beta", options.beta, 0.0, f64::MAX)?;
    within("rwr.percentile", options.percentile, 0.0, 100.0)
}

/// The weights of dense regression; the paper compares over the round.
pub(super) fn softmax(config: &RunConfig) -> WeightPlan {
    WeightPlan::Softmax { beta: config.rwr.beta, per_prompt: config.rwr.per_prompt.unwrap_or(false) }
}

/// The weights of sparse regression; the paper compares within the prompt.
pub(super) fn sparse(config: &RunConfig) -> Result<WeightPlan> {
    let options = &config.rwr;
    at_least_one("rwr.min-count", options.min_count)?;
    if options.buffer_size < options.min_count {
        let expected = format!("at least {}, the min-count", options.min_count);
        return Err(invalid("rwr.buffer-size", options.buffer_size, expected));
    }
    Ok(WeightPlan::Sparse {
        percentile: options.percentile,
        per_prompt: options.per_prompt.unwrap_or(true),
        buffer_size: options.buffer_size,
        min_count: options.min_count,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunPlan;
    use crate::config::{AlgorithmPlan, Layers};

    fn plan(changes: &[&str]) -> Result<RunPlan> {
        let mut layers = Layers::default();
        changes.iter().for_each(|change| layers.push_assignment(change).unwrap());
        RunPlan::new(layers.resolve().unwrap())
    }

    fn regression(plan: &RunPlan) -> RegressionPlan {
        match plan.algorithm {
            AlgorithmPlan::Regression(regression) => regression,
            _ => panic!("{plan:?}"),
        }
    }

    #[test]
    fn the_paper_weighs_by_softmax_over_the_round_and_by_percentile_of_the_prompt() {
        let weights = |algorithm: &str| regression(&plan(&[&format!("train.algorithm={algorithm}")]).unwrap());
        assert_eq!(weights("rwr").weights, WeightPlan::Softmax { beta: 0.2, per_prompt: false });
        let sparse = WeightPlan::Sparse { percentile: 90.0, per_prompt: true, buffer_size: 32, min_count: 8 };
        assert_eq!(weights("rwr-sparse").weights, sparse);
        assert!(matches!(plan(&["train.algorithm=ddpo-is"]).unwrap().algorithm, AlgorithmPlan::PolicyGradient(_)));
    }

    #[test]
    fn large_batches_go_in_passes() {
        let plan = plan(&["train.algorithm=rwr", "rwr.batch-size=128", "train.batch-size=32"]).unwrap();
        let regression = regression(&plan);
        assert_eq!((regression.batch, regression.passes), (32, 4));
        assert_eq!((plan.updates_per_epoch(), plan.images_per_update()), (10, 128));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let refused = |changes: &[&str]| {
            let changes: Vec<&str> = ["train.algorithm=rwr-sparse"].iter().chain(changes).copied().collect();
            plan(&changes).unwrap_err().to_string()
        };
        assert_eq!(
            refused(&["rwr.batch-size=100"]),
            "invalid `rwr.batch-size`: found 100, expected a multiple of 64, the train.batch-size"
        );
        assert!(refused(&["train.kl-weight=0.1"]).starts_with("invalid `train.kl-weight`: found 0.1"));
        assert!(refused(&["train.first-timestep=9"]).starts_with("invalid `train.first-timestep`: found 9"));
        assert!(refused(&["rwr.percentile=101"]).contains("0 to 100"));
        assert!(refused(&["rwr.buffer-size=4"]).contains("at least 8"));
        assert!(refused(&["rwr.updates-per-round=0"]).contains("at least 1"));
    }
}
